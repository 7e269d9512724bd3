"""What clients of Ollama's API see at the one address, asked with Ollama's own client where it can."""

import asyncio
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import ollama
import pytest
from aiohttp import web

from daemon.gateway.dialects import ollama as dialect
from daemon.gateway.listener.exchange import event
from daemon.gateway.ollama.lists import VERSION
from daemon.launches.state_machine import Event
from domain.launches.launch import LaunchState
from domain.models.kinds import Kind
from domain.models.model import WeightFile
from tests.daemon.gateway.conftest import Rig, answer_all, stream

HELLO = [{"role": "user", "content": "hi"}]
PNG = b"\x89PNG\r\n\x1a\n"
SENT = [
    {"choices": [{"delta": {"role": "assistant", "content": None}}]},
    {"choices": [{"delta": {"content": "Pa"}}]},
    {"choices": [{"delta": {"content": "ris"}}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 2}, "timings": {"prompt_ms": 1.5}},
]


class Talker:
    """An engine that says Paris, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/props":
            return await answer_all(request)
        self.asked = await request.json()
        if self.asked.get("stream"):
            return await stream(request, [event(value) for value in SENT])
        message = {"content": "Paris"}
        return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}], "usage": {}})


async def test_ollamas_client_chats_and_streams(gateway: Rig, client: ollama.AsyncClient) -> None:
    talker = Talker()
    await gateway.serve("smol", talker.answer)
    chunks = [chunk async for chunk in await client.chat("smol:latest", HELLO, stream=True, keep_alive=-1)]
    assert [chunk.message.content for chunk in chunks] == ["Pa", "ris", ""]
    end = chunks[-1]
    assert (end.done, end.done_reason, end.prompt_eval_count, end.eval_count) == (True, "stop", 11, 2)
    assert (end.model, end.prompt_eval_duration) == ("smol:latest", 1_500_000)
    assert talker.asked["model"] == "smol"
    whole = await client.generate("smol", "Capital of France?", options={"num_predict": 5})
    assert (whole.response, whole.done) == ("Paris", True)
    assert talker.asked["max_tokens"] == 5
    assert talker.asked["messages"] == [{"role": "user", "content": "Capital of France?"}]


async def test_a_stream_is_lines_of_json_that_come_as_they_are_made(gateway: Rig) -> None:
    sent = asyncio.Semaphore(0)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/props":
            return await answer_all(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for value in SENT:
            await response.write(event(value))
            if value in SENT[1:3]:
                await sent.acquire()
        return response

    await gateway.serve("smol", answer)
    body = {"model": "smol", "messages": HELLO}
    async with gateway.http.stream("POST", "/api/chat", json=body) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = response.aiter_lines()
        for expected in ("Pa", "ris"):  # the engine sends the next one only now
            assert json.loads(await anext(lines))["message"]["content"] == expected
            sent.release()
        assert json.loads(await anext(lines))["done"] is True
        assert [line async for line in lines] == []


async def test_an_error_in_a_stream_is_its_last_line(gateway: Rig, client: ollama.AsyncClient) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/props":
            return await answer_all(request)
        told = {"error": {"code": 500, "message": "out of memory", "type": "server_error"}}
        return await stream(
            request, [b"data: %s\n\n" % json.dumps(event).encode() for event in (SENT[1], told)]
        )

    await gateway.serve("smol", answer)
    with pytest.raises(ollama.ResponseError, match="out of memory"):
        async for _ in await client.chat("smol", HELLO, stream=True):
            pass


async def test_models_are_listed_with_the_types_that_ollamas_clients_decode(
    gateway: Rig, client: ollama.AsyncClient
) -> None:
    await gateway.serve("smol")
    await gateway.serve("vectors", kind=Kind.EMBEDDING)
    await gateway.serve("late", state=LaunchState.STARTING)
    listed = (await client.list()).models
    assert [model.model for model in listed] == ["smol", "vectors", "late"]
    assert all(isinstance(model.modified_at, datetime) and len(model.digest or "") == 64 for model in listed)
    [smol, vectors] = (await client.ps()).models  # what starts is not loaded
    assert (smol.name, smol.context_length, vectors.name) == ("smol", 1024, "vectors")
    rows = (await gateway.http.get("/api/ps")).json()["models"]
    assert datetime.fromisoformat(rows[0]["expires_at"]).year > 2200  # as Open WebUI reads it
    assert {row["name"] for row in (await gateway.http.get("/api/tags")).json()["models"]} == {
        "smol",
        "vectors",
        "late",
    }


async def test_a_model_is_shown_with_what_its_file_says_and_the_context_that_is_served(
    gateway: Rig, client: ollama.AsyncClient, smollm2: Path
) -> None:
    launch = await gateway.serve("smol")
    assert launch.plan is not None
    files = (WeightFile(smollm2.name),)
    weights = replace(launch.plan.weights, files=files, location=str(smollm2.parent))
    launch.plan = replace(launch.plan, weights=weights)
    shown = await client.show("smol:latest")
    assert shown.details is not None
    assert (shown.details.family, shown.details.parameter_size) == ("llama", "134.5M")
    info = dict(shown.modelinfo or {})
    assert (info["llama.context_length"], info["general.architecture"]) == (1024, "llama")
    assert (info["llama.block_count"], info["general.parameter_count"]) == (30, 134515008)
    assert {"completion", "vision"} <= set(shown.capabilities or [])
    with pytest.raises(ollama.ResponseError, match="smol") as unknown:
        await client.show("smoll")
    assert unknown.value.status_code == 404


async def test_a_model_whose_file_is_not_known_has_no_null_that_clients_break_on(gateway: Rig) -> None:
    await gateway.serve("smol", state=LaunchState.STARTING)
    shown = (await gateway.post("/api/show", name="smol")).json()
    assert shown["model_info"]["general.architecture"] == "unknown"
    assert shown["model_info"]["unknown.context_length"] == 2048
    assert shown["details"]["parameter_size"] == "unknown"
    assert None not in shown["details"].values()


async def test_a_sign_of_life_and_a_version_that_clients_compare(gateway: Rig) -> None:
    assert (await gateway.http.get("/")).text == "Ollama is running"
    assert (await gateway.http.head("/")).status_code == 200
    version = (await gateway.http.get("/api/version")).json()["version"]
    assert version == VERSION
    assert tuple(int(part) for part in version.split(".")) >= (0, 6, 4)  # VS Code's own minimum


async def test_a_request_without_a_prompt_loads(gateway: Rig) -> None:
    launch = await gateway.serve("smol", state=LaunchState.STARTING)
    asking = asyncio.create_task(gateway.post("/api/generate", model="smol", keep_alive="5m"))
    while not gateway.gateway.engines.hold.held:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.005)
    launch.apply(Event.ANSWER)
    answer = (await asking).json()
    assert (answer["response"], answer["done"], answer["done_reason"]) == ("", True, "load")
    answer = (await gateway.post("/api/chat", model="smol", messages=[])).json()
    assert (answer["message"]["content"], answer["done_reason"]) == ("", "load")


async def test_what_is_done_elsewhere_is_refused_with_the_command_that_does_it(gateway: Rig) -> None:
    await gateway.serve("smol")
    unload = await gateway.post("/api/generate", model="smol", keep_alive=0)
    assert (unload.status_code, "node-ctl stop smol" in unload.json()["error"]) == (501, True)
    for route in dialect.ROUTES:
        if route.path in ("/api/create", "/api/copy", "/api/push", "/api/delete"):
            refused = await gateway.http.request(route.method, route.path, json={"model": "smol"})
            assert refused.status_code == 501
            assert list(refused.json()) == ["error"]


async def test_a_context_that_is_not_served_is_refused_and_nothing_is_loaded_again(
    gateway: Rig, client: ollama.AsyncClient
) -> None:
    talker = Talker()
    await gateway.serve("smol", talker.answer)
    with pytest.raises(ollama.ResponseError, match=r"8192.*1024") as refused:
        await client.chat("smol", HELLO, options={"num_ctx": 8192})
    assert (refused.value.status_code, talker.asked) == (400, {})
    await client.chat("smol", HELLO, options={"num_ctx": 512})


async def test_a_wrong_model_is_404_with_the_near_name(gateway: Rig) -> None:
    await gateway.serve("smollm2")
    for path in ("/api/chat", "/api/generate", "/api/show"):
        refused = await gateway.post(path, model="smolm2", messages=HELLO, prompt="x")
        assert (refused.status_code, "smollm2" in refused.json()["error"]) == (404, True)
    assert (await gateway.post("/api/chat", messages=HELLO)).json() == {"error": "model is required"}


async def test_texts_become_vectors_in_their_order(gateway: Rig, client: ollama.AsyncClient) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        rows = [{"index": index, "embedding": [3.0, 4.0, index]} for index in range(len(asked["input"]))]
        return web.json_response({"data": rows[::-1], "usage": {"prompt_tokens": 5}})

    await gateway.serve("vectors", answer, kind=Kind.EMBEDDING)
    told = await client.embed("vectors", ["a", "b"])
    assert [list(vector) for vector in told.embeddings] == [[3, 4, 0], [3, 4, 1]]
    assert told.prompt_eval_count == 5
    short = await client.embed("vectors", "a", dimensions=2)
    assert list(short.embeddings[0]) == [0.6, 0.8]
    assert list((await client.embeddings("vectors", "a")).embedding) == [3, 4, 0]
    await gateway.serve("smol")
    refused = await gateway.post("/api/embed", model="smol", input="a")
    assert (refused.status_code, "vectors" in refused.json()["error"]) == (501, True)


# the shapes in which Home Assistant and Open WebUI ask


async def test_home_assistants_request_is_answered(gateway: Rig, client: ollama.AsyncClient) -> None:
    """Its shape is that of homeassistant/components/ollama/entity.py: every optional member is there."""
    talker = Talker()
    await gateway.serve("smol", talker.answer)
    tool = {"type": "function", "function": {"name": "HassTurnOn", "parameters": {"type": "object"}}}
    called = {"function": {"name": "HassTurnOn", "arguments": {"name": "lamp"}}}
    history = [
        {"role": "system", "content": "You are a voice assistant."},
        {"role": "user", "content": "Turn on the lamp"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "content": '{"data": {"success": true}, "error": null}'},
    ]
    schema = {"type": "object", "properties": {"light": {"type": "boolean"}}}
    answers = await client.chat(
        "smol",
        history,
        tools=[tool],
        stream=True,
        keep_alive="300s",
        options={"num_ctx": 1024},
        think=False,
        format=schema,
    )
    assert "".join([chunk.message.content or "" async for chunk in answers]) == "Paris"
    told = talker.asked
    assert told["messages"][3]["tool_call_id"] == told["messages"][2]["tool_calls"][0]["id"]
    assert told["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"name": "lamp"}'
    assert (told["tools"], told["response_format"]["json_schema"]["schema"]) == ([tool], schema)
    assert "num_ctx" not in told


async def test_a_picture_reaches_the_engine_as_a_data_url(gateway: Rig, client: ollama.AsyncClient) -> None:
    talker = Talker()
    await gateway.serve("smol", talker.answer)
    await client.generate("smol", "what is it?", images=[PNG])
    url = talker.asked["messages"][0]["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,iVBOR")
