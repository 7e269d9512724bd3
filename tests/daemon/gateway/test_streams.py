"""Streams, their silence and their ends; what is too long, and who may not ask."""

import asyncio
from dataclasses import replace

import httpx
import pytest
from aiohttp import web
from starlette.types import Message

from daemon.gateway.dialects import openai
from daemon.gateway.listener.exchange import Exchange
from tests.daemon.gateway.conftest import EVENTS, PROPS, Rig, stream

VERSION = {"anthropic-version": "2023-06-01"}
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hi"}]


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


async def test_an_answer_that_comes_with_the_first_sign_of_life_follows_it(gateway: Rig) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"headers": [], "method": "POST", "path": CHAT, "query_string": b""}
    exchange = Exchange(replace(gateway.gateway, keep_alive_s=600.0), scope, receive, send)
    exchange.dialect = openai.DIALECT
    exchange.watch_silence()
    exchange._sent_at -= 700.0
    exchange._check_silence(b"text/event-stream")  # its task has not begun
    await exchange.send_bytes(b"{}", status=200, headers=[])
    assert [message["type"].rpartition(".")[2] for message in sent] == ["start", "body", "body"]
    assert [message.get("body") for message in sent] == [None, b":\n\n", b"{}"]


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
    assert cut.content.removeprefix(b":\n\n").startswith(EVENTS[0])
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
    assert gateway.app.gateway.url == gateway.base


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
