"""What clients of OpenAI's and Anthropic's APIs see at the one address."""

import pytest
from aiohttp import web

from domain.launches.launch import LaunchState
from domain.models.kinds import Kind
from tests.daemon.gateway.conftest import PROPS, Rig

VERSION = {"anthropic-version": "2023-06-01"}
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hi"}]


async def test_models_are_listed_with_the_context_that_the_engine_serves(gateway: Rig) -> None:
    await gateway.serve("smol")
    [row] = (await gateway.http.get("/v1/models")).json()["data"]
    assert (row["id"], row["object"], row["state"]) == ("smol", "model", "ready")
    contexts = {row["context_length"], row["max_model_len"], row["meta"]["n_ctx"]}
    assert contexts == {PROPS["default_generation_settings"]["n_ctx"]}
    assert row["architecture"]["input_modalities"] == ["text", "image"]
    assert (await gateway.http.get("/v1/models/smol")).json() == row
    assert (await gateway.http.get("/models")).json()["data"] == [row]


async def test_a_model_that_starts_is_listed_as_planned(gateway: Rig) -> None:
    await gateway.serve("smol", state=LaunchState.STARTING)
    [row] = (await gateway.http.get("/v1/models")).json()["data"]
    assert (row["state"], row["context_length"]) == ("starting", 2048)


async def test_clients_of_anthropic_get_their_own_list(gateway: Rig) -> None:
    for name in ("a", "b", "c"):
        await gateway.serve(name)
    page = (await gateway.http.get("/v1/models?limit=2", headers=VERSION)).json()
    assert [row["id"] for row in page["data"]] == ["a", "b"]
    assert (page["has_more"], page["first_id"], page["last_id"]) == (True, "a", "b")
    assert page["data"][0]["type"] == "model"
    rest = (await gateway.http.get("/v1/models?after_id=b", headers=VERSION)).json()
    assert ([row["id"] for row in rest["data"]], rest["has_more"]) == (["c"], False)
    wrong = await gateway.http.get("/v1/models?limit=many", headers=VERSION)
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_an_engine_gets_the_beta_headers_and_no_secret_of_the_client(gateway: Rig) -> None:
    await gateway.serve("smol")
    own = VERSION | {"anthropic-beta": "tools-2026", "x-api-key": "secret", "authorization": "Bearer secret"}
    response = await gateway.post("/v1/messages?beta=true", own, model="smol", max_tokens=1, messages=HELLO)
    told = response.json()
    got = {name.lower(): value for name, value in told["headers"].items()}
    assert told["path"] == "/v1/messages?beta=true"
    assert got["anthropic-beta"] == "tools-2026"
    assert "secret" not in str(got)


async def test_a_model_may_be_left_out_where_one_can_do_it(gateway: Rig) -> None:
    await gateway.serve("smol")
    await gateway.serve("vectors", kind=Kind.EMBEDDING)
    assert (await gateway.post(CHAT, messages=HELLO)).json()["asked"]["model"] == "smol"
    assert (await gateway.post("/v1/embeddings", input="x")).json()["asked"]["model"] == "vectors"
    await gateway.serve("other")
    refused = await gateway.post(CHAT, messages=HELLO)
    assert refused.status_code == 400
    assert "other, smol" in refused.json()["error"]["message"]


async def test_a_name_that_is_spelt_another_way_reaches_the_engine_as_its_own(gateway: Rig) -> None:
    await gateway.serve("qwen3-8b-gguf", model="unsloth/Qwen3-8B-GGUF:Q4_K_M")
    for asked in ("unsloth/Qwen3-8B-GGUF", "hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M", "Qwen3-8B-GGUF:latest"):
        response = await gateway.post(CHAT, model=asked, messages=HELLO)
        assert response.json()["asked"] == {"model": "qwen3-8b-gguf", "messages": HELLO}


async def test_a_tag_that_is_no_quant_names_another_model(gateway: Rig) -> None:
    await gateway.serve("mine", model="gpt-oss:120b")
    assert (await gateway.post(CHAT, model="gpt-oss:120b", messages=HELLO)).status_code == 200
    for smaller in ("gpt-oss", "gpt-oss:latest", "gpt-oss:20b"):
        assert (await gateway.post(CHAT, model=smaller, messages=HELLO)).status_code == 404, smaller


async def test_text_that_is_not_utf_8_is_the_clients_mistake_or_the_engines_to_refuse(gateway: Rig) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=400)

    await gateway.serve("smol", answer)
    for body in (b'{"model": "\xff"}', b'{"model": "smol", "prompt": "' + b"\xff" * 20_000 + b'"}'):
        assert (await gateway.http.post("/v1/completions", content=body)).status_code == 400


async def test_an_engine_sends_the_gateway_nowhere_else(gateway: Rig) -> None:
    asked = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    await gateway.serve("smol", answer)
    await gateway.post(CHAT, model="smol", messages=HELLO)
    assert asked == [CHAT]


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [(CHAT, "invalid_request_error", "model_not_found"), ("/v1/messages", "not_found_error", None)],
)
async def test_a_wrong_model_is_none_in_the_words_of_each_client(
    gateway: Rig, path: str, kind: str, code: str | None
) -> None:
    await gateway.serve("smollm2")
    refused = await gateway.post(path, model="smolm2", messages=HELLO)
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error.get("code")) == (404, kind, code)
    assert "smollm2" in error["message"]


async def test_what_a_model_can_not_do_names_the_one_that_can(gateway: Rig) -> None:
    await gateway.serve("smol")
    await gateway.serve("vectors", kind=Kind.EMBEDDING)
    refused = await gateway.post("/v1/embeddings", model="smol", input="x")
    assert (refused.status_code, refused.json()["error"]["type"]) == (501, "not_supported_error")
    assert "such as vectors" in refused.json()["error"]["message"]
    assert (await gateway.post("/v1/audio/speech", model="smol", input="x")).status_code == 501


async def test_an_engines_refusal_is_written_as_the_client_expects(gateway: Rig) -> None:
    told = {"code": 400, "message": "too long", "type": "exceed_context_size_error"}

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": told | {"n_prompt_tokens": 3031, "n_ctx": 1024}}, status=400)

    await gateway.serve("smol", answer)
    openai = (await gateway.post(CHAT, model="smol", messages=HELLO)).json()["error"]
    assert (openai["code"], openai["n_prompt_tokens"], openai["n_ctx"]) == (
        "context_length_exceeded",
        3031,
        1024,
    )
    anthropic = await gateway.post("/v1/messages", model="smol", messages=HELLO)
    assert anthropic.status_code == 400
    assert anthropic.json()["error"]["message"] == "prompt is too long: 3031 tokens > 1024 maximum"


async def test_a_path_that_an_engine_lacks_is_not_implemented(gateway: Rig) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        told = {"message": "File Not Found", "type": "not_found_error", "code": 404}
        return web.json_response({"error": told}, status=404)

    await gateway.serve("smol", answer)
    refused = await gateway.post("/v1/responses", model="smol", input="x")
    assert refused.status_code == 501
    assert "llama.cpp" in refused.json()["error"]["message"]


async def test_head_is_answered_where_get_is(gateway: Rig) -> None:
    await gateway.serve("smol")
    for path in ("/api/hello", "/v1/models", "/v1/models/smol"):
        answered = await gateway.http.head(path)
        assert (answered.status_code, answered.content) == (200, b"")
    assert (await gateway.http.head("/v1/models/none")).status_code == 404


async def test_what_is_no_request_of_any_dialect_is_refused_in_json(gateway: Rig) -> None:
    assert (await gateway.http.get("/v1/launches")).status_code == 404
    wrong = await gateway.http.get(CHAT)
    assert (wrong.status_code, "POST" in wrong.json()["error"]["message"]) == (405, True)
    for content in (b"{", b"[1]", b'{"model": 7}', b"[" * 100_000, b"\xff"):
        refused = await gateway.http.post(CHAT, content=content)
        assert refused.status_code == 400, content[:20]
        assert refused.json()["error"]["type"] == "invalid_request_error"
