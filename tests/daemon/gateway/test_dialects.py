"""What clients of OpenAI's and Anthropic's APIs see at the one address."""

import asyncio
from dataclasses import replace

import httpx
import pytest
from aiohttp import web

from domain.kinds import Kind
from domain.launch import LaunchState
from tests.daemon.gateway.conftest import EVENTS, PROPS, Rig, stream

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


async def test_a_stream_arrives_byte_for_byte_and_as_it_comes(gateway: Rig) -> None:
    sent = asyncio.Semaphore(0)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in EVENTS:
            await response.write(part)
            await sent.acquire()
        return response

    await gateway.serve("smol", answer)
    body = {"model": "smol", "stream": True, "messages": HELLO}
    async with gateway.http.stream("POST", CHAT, json=body) as response:
        assert response.headers["content-type"] == "text/event-stream"
        parts = response.aiter_raw()
        for expected in EVENTS:  # the engine sends the next one only now
            assert (await anext(parts)).replace(b":\n\n", b"") or await anext(parts) == expected
            sent.release()


async def test_an_answer_without_a_stream_is_the_engines_own(gateway: Rig) -> None:
    await gateway.serve("smol")
    response = await gateway.post(CHAT, model="smol", messages=HELLO)
    assert response.headers["content-type"].startswith("application/json")
    assert response.json()["asked"] == {"model": "smol", "messages": HELLO}
    assert response.json()["path"] == CHAT


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
    assert "vectors can" in refused.json()["error"]["message"]
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


async def test_silence_is_broken_by_signs_of_life_that_no_client_reads_as_data(gateway: Rig) -> None:
    speak = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        await speak.wait()
        return await stream(request, EVENTS)

    await gateway.serve("smol", answer)
    for path, sign in ((CHAT, b":\n\n"), ("/v1/messages", b'event: ping\ndata: {"type": "ping"}\n\n')):
        speak.clear()
        got = b""
        async with gateway.http.stream("POST", path, json={"model": "smol", "stream": True}) as response:
            async for part in response.aiter_raw():
                got += part
                if got.count(sign) == 2:
                    speak.set()
        assert got.replace(sign, b"") == b"".join(EVENTS)


async def test_a_sign_of_life_never_splits_an_event(gateway: Rig) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"half":')
        await asyncio.sleep(0.25)  # five times the silence
        await response.write(b"1}\n\n")
        return response

    await gateway.serve("smol", answer)
    response = await gateway.post(CHAT, model="smol", stream=True)
    assert b'data: {"half":1}\n\n' in response.content


async def test_an_engine_stops_as_soon_as_its_client_leaves(gateway: Rig) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            stopped.set()
        raise AssertionError

    await gateway.serve("smol", answer)
    asking = asyncio.create_task(gateway.post(CHAT, model="smol", messages=HELLO))
    await begun.wait()
    asking.cancel()
    async with asyncio.timeout(30):
        await stopped.wait()


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


async def test_web_pages_and_strange_host_names_are_refused(gateway: Rig) -> None:
    await gateway.serve("smol")

    async def status(**headers: str) -> int:
        return (await gateway.http.get("/v1/models", headers=headers)).status_code

    assert await status(origin="https://evil.example") == 403
    assert await status(origin="null") == 403
    assert await status(host="evil.example:8411") == 403
    assert await status(host="localhost:8411") == 200
    assert await status(host="[::1]:8411") == 200
    assert await status(origin="app://obsidian.md") == 200
    assert await status(origin=gateway.base) == 200


async def test_all_of_an_engine_that_dies_in_the_middle_is_told_in_the_stream(gateway: Rig) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(EVENTS[0])
        await asyncio.sleep(0.01)
        assert request.transport is not None
        request.transport.abort()
        return response

    await gateway.serve("smol", answer)
    cut = await gateway.post(CHAT, model="smol", stream=True)
    assert cut.content.startswith(EVENTS[0])
    assert b'data: {"error": {"message": "the engine of smol ended' in cut.content
    assert b"[DONE]" not in cut.content
    claude = await gateway.post("/v1/messages", model="smol", stream=True)
    assert b'event: error\ndata: {"type": "error", "error": {"type": "api_error"' in claude.content


async def test_a_body_that_is_too_long_is_refused(gateway: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.gateway.listener.exchange.MAX_BODY_BYTES", 1000)
    await gateway.serve("smol")
    with_length = await gateway.post(CHAT, model="smol", messages=[{"role": "user", "content": "x" * 2000}])
    assert with_length.status_code == 413

    async def endless() -> "httpx._types.AsyncByteStream":
        for _ in range(100):
            yield b"x" * 100

    assert (await gateway.http.post(CHAT, content=endless())).status_code == 413
    assert gateway.app.gateway.address is not None


async def test_a_long_request_is_counted_and_refused_before_the_engine_computes_it(gateway: Rig) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        replies = {
            "/props": PROPS,
            "/apply-template": {"prompt": "x"},
            "/tokenize": {"tokens": [1] * 1024},
            "/v1/messages/count_tokens": {"input_tokens": 1025},
        }
        return web.json_response(replies.get(request.path, {}))

    await gateway.serve("smol", answer)
    long = [{"role": "user", "content": "x" * 8000}]
    openai = await gateway.post(CHAT, model="smol", messages=long)
    assert (openai.status_code, openai.json()["error"]["n_prompt_tokens"]) == (400, 1024)
    anthropic = await gateway.post("/v1/messages", model="smol", messages=long)
    assert anthropic.json()["error"]["message"] == "prompt is too long: 1025 tokens > 1024 maximum"
    assert not {CHAT, "/v1/messages"} & set(asked)
    asked.clear()
    assert (await gateway.post(CHAT, model="smol", messages=HELLO)).status_code == 200
    assert asked == [CHAT], "a short one costs no question"


async def test_vllms_refusal_tells_both_numbers(gateway: Rig) -> None:
    message = (
        "This model's maximum context length is 2048 tokens. However, you requested 16 output tokens and "
        "your prompt contains at least 3033 input tokens"
    )

    async def answer(request: web.Request) -> web.StreamResponse:
        told = {"message": message, "type": "BadRequestError", "param": "input_tokens", "code": 400}
        return web.json_response({"error": told}, status=400)

    launch = await gateway.serve("smol", answer)
    assert launch.plan is not None
    launch.plan = replace(launch.plan, engine="vllm")
    error = (await gateway.post(CHAT, model="smol", messages=HELLO)).json()["error"]
    assert (error["n_prompt_tokens"], error["n_ctx"]) == (3033, 2048)
