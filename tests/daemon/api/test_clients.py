"""Clients of the control socket that are slow, many, or speak no HTTP: they are refused with the next step,
and nobody else notices them."""

import asyncio
import json
import os
import select
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from daemon.api import connection, request_limits
from tests.daemon.conftest import Api, Running

GET = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ENDLESS = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{ \r\n"


class Raw:
    """A client that sends what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self, *parts: bytes) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of the answer to ``parts``."""
        for part in parts:
            self.writer.write(part)
        head = await self.reader.readuntil(b"\r\n\r\n")
        (length,) = (
            int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length:")
        )
        return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    async def is_closed(self) -> bool:
        try:
            return await self.reader.read() == b""
        except ConnectionResetError:
            return True


@asynccontextmanager
async def client(api: Api) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_unix_connection(api.app.control.socket)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


async def answers(api: Api) -> bool:
    return (await api.http.get("/v1/status")).status_code == 200


@pytest.mark.parametrize(
    ("request_bytes", "part"),
    [
        pytest.param(b"", "head", id="nothing"),
        pytest.param(GET, "head", id="half a head"),
        pytest.param(POST + b"Content-Length: 10\r\n\r\n{", "body", id="half a body"),
        pytest.param(POST + ENDLESS, "body", id="chunks without an end"),
        pytest.param(GET + ENDLESS, "", id="a body that the answer does not wait for"),
        pytest.param(GET + b"\r\n" + GET, "", id="half a second request"),
    ],
)
async def test_a_request_that_does_not_come_to_an_end_is_closed(
    daemon: Running, monkeypatch: pytest.MonkeyPatch, request_bytes: bytes, part: str
) -> None:
    # an answer has to come within it where it does not wait for the rest
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.2 if part else 5.0)
    monkeypatch.setattr(connection, "BODY_WITHIN_S", 0.3 if part else 5.0)
    async with daemon() as api, client(api) as slow:
        if part:
            status, answer = await slow.answer(request_bytes)
            assert status == 408
            assert f"the {part} of the request did not come within 0." in answer["error"]["message"]
            assert answer["error"]["hint"]
            assert await slow.is_closed()
        else:
            assert (await slow.answer(request_bytes))[0] == 200
            await slow.reader.read()  # until it is closed
        assert await answers(api)


def drip(address: Path) -> bytes:
    """What is answered to a client that never ends its request, however it is closed."""
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(address))
        slow.sendall(GET + b"X: ")
        with suppress(BrokenPipeError):
            while not select.select([slow], [], [], 0.05)[0]:
                slow.sendall(b"x")
        return slow.recv(1 << 16)


async def test_a_byte_at_a_time_gives_no_more_time(daemon: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.3)
    async with daemon() as api:
        answer = await asyncio.to_thread(drip, api.app.control.socket)
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_stream_may_be_silent_for_longer_than_a_request_may_take(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("HEAD_WITHIN_S", "BODY_WITHIN_S"):
        monkeypatch.setattr(connection, limit, 0.5)
    async with daemon() as api, api.http.stream("GET", "/v1/events?follow=true") as events:
        lines = events.aiter_lines()
        await asyncio.sleep(1.5)
        await api.app.events.append("late", "an event after a silence")
        assert json.loads(await anext(lines))["kind"] == "late"


@pytest.mark.parametrize(
    ("request_bytes", "status", "said"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "illegal", id="TLS"),
        pytest.param(b"GET /v1/status\r\n\r\n", 400, "illegal request line", id="no version"),
        pytest.param(b"GET /v1/sta\0tus HTTP/1.1\r\nHost: x\r\n\r\n", 400, "illegal", id="NUL in the path"),
        pytest.param(b"GET /v1/status HTTP/1.1\r\n\r\n", 400, "Host", id="no Host"),
        pytest.param(GET + b"A: \xff\0\r\n\r\n", 400, "illegal header", id="NUL in a header"),
        pytest.param(GET + b"Content-Length: -1\r\n\r\n", 400, "Content-Length", id="a negative length"),
        pytest.param(GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "", id="two lengths"),
        pytest.param(GET + b"Transfer-Encoding: gzip\r\n\r\n", 501, "Transfer-Encoding", id="an encoding"),
        pytest.param(POST + ENDLESS + b"x\r\n", 400, "illegal chunk header", id="a chunk without a size"),
        pytest.param(GET + b"A: " + b"x" * 20_000, 431, "too long", id="a head without an end"),
        pytest.param(GET + b"A: " + b"x" * 20_000 + b"\r\n\r\n", 431, "20006 bytes", id="a long header"),
        pytest.param(GET + b"A: b\r\n" * 200 + b"\r\n", 431, "201 headers", id="many headers"),
        pytest.param(b"GET /v1/" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "9004", id="a path"),
        pytest.param(b"GET /v1/status?" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "", id="query"),
        pytest.param(b"BREW /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", 405, "BREW", id="a method"),
        pytest.param(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 404, "CONNECT", id="CONNECT"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404, "*", id="the server as a whole"),
        pytest.param(b"GET http://x/v1/status HTTP/1.1\r\nHost: x\r\n\r\n", 404, "http://x", id="a proxy's"),
        pytest.param(b"GET /v1/%00%ff%0a HTTP/1.1\r\nHost: x\r\n\r\n", 404, "", id="an odd name"),
        pytest.param(POST + b"Content-Length: 4\r\n\r\n\xff{}\0", 400, "no JSON", id="a body in no UTF-8"),
        pytest.param(POST + b"Content-Length: 0\r\n\r\n", 422, "", id="an empty body"),
    ],
)
async def test_what_is_no_request_is_refused_with_a_hint(
    daemon: Running, request_bytes: bytes, status: int, said: str
) -> None:
    async with daemon() as api, client(api) as odd:
        told, answer = await odd.answer(request_bytes)
        assert (told, answer["error"]["code"]) == (status, "bad_usage"), answer
        assert said in answer["error"]["message"]
        assert answer["error"]["hint"]
        assert await answers(api)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b'{"model": "a", "model": "b"}', "names 'model' twice", id="a key twice"),
        pytest.param(b'{"model": "a", "min_decode_tokens_per_s": NaN}', "NaN", id="no number"),
        pytest.param(b'{"on": ' * 5000 + b"1" + b"}" * 5000, "nested too deeply", id="deep"),
        pytest.param(b'{"parallel": ' + b"9" * 5000 + b"}", "no JSON", id="a long number"),
        pytest.param(b'{"model": "a"', "JSON decode error", id="half of it"),
    ],
)
async def test_ambiguous_json_is_refused(daemon: Running, body: bytes, said: str) -> None:
    async with daemon() as api:
        answer = await api.http.post("/v1/plan", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/plan", {"model": "a\0b"}, id="NUL in a model"),
        pytest.param("/v1/models/adopt", {"folder": "/tmp/\0"}, id="NUL in a folder"),
        pytest.param("/v1/plan", {"model": "a", "context_tokens": 2.5}, id="half a token"),
        pytest.param("/v1/plan", {"model": "a", "context_tokens": 10**30}, id="tokens without an end"),
        pytest.param("/v1/plan", {"model": "a", "min_decode_tokens_per_s": 10**400}, id="a rate"),
        pytest.param("/v1/models/gc", {"free_bytes": -1}, id="negative bytes"),
        pytest.param("/v1/estimate", {"model": "a", "args": ["x"] * 2000}, id="arguments"),
        pytest.param("/v1/search", {"words": "a", "limit": 10**9}, id="a page"),
    ],
)
async def test_what_can_not_be_is_refused_before_it_is_used(
    daemon: Running, path: str, body: dict[str, object]
) -> None:
    async with daemon() as api:
        answer = await api.http.post(
            path, content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]["hint"]


async def test_a_context_is_a_number_or_max_and_one_line_says_so(daemon: Running) -> None:
    async with daemon() as api:
        answer = await api.http.post("/v1/plan", json={"model": "a", "context_tokens": "most"})
    line = 'context_tokens: give a number of tokens from 1 to 2147483648, or "max"'
    assert answer.json()["error"]["message"] == line


async def test_requests_in_a_row_and_in_old_http_are_answered(daemon: Running) -> None:
    async with daemon() as api:
        async with client(api) as row:
            row.writer.write((GET + b"\r\n") * 50)
            assert [(await row.answer())[0] for _ in range(50)] == [200] * 50
        async with client(api) as old:
            assert (await old.answer(b"GET /v1/status HTTP/1.0\r\n\r\n"))[0] == 200
            assert await old.is_closed()
        async with client(api) as upgrading:
            asked = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            assert (await upgrading.answer(asked))[0] == 200
        async with client(api) as polite:
            polite.writer.write(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            assert (await polite.reader.readuntil(b"\r\n\r\n")).split()[1] == b"100"
            assert (await polite.answer(b"{}"))[0] == 422


async def test_a_user_with_too_many_connections_is_told_and_can_go_on(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_OF_A_USER", 4)
    monkeypatch.setattr(connection, "MAX_REFUSED", 1)
    async with daemon() as api:
        async with AsyncExitStack() as held:
            for _ in range(4):
                one = await held.enter_async_context(client(api))
                assert (await one.answer(GET + b"\r\n"))[0] == 200
            fifth = await held.enter_async_context(client(api))
            status, answer = await fifth.answer(GET + b"\r\n")
            assert (status, answer["error"]["code"]) == (503, "busy")
            assert f"user {os.getuid()} has more than 4 connections" in answer["error"]["message"]
            assert "events -f" in answer["error"]["hint"]
            assert await fifth.is_closed()
            waiting = await held.enter_async_context(client(api))
            sixth = await held.enter_async_context(client(api))
            assert await sixth.is_closed()
            assert (await waiting.answer(GET + b"\r\n"))[0] == 503
        async with asyncio.timeout(60):
            while not await answers(api):  # noqa: ASYNC110 - the daemon sees the ends one by one
                await asyncio.sleep(0.02)


async def test_others_may_not_take_all_connections(daemon: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_OF_OTHERS", 2)
    async with daemon() as api, AsyncExitStack() as held:
        with monkeypatch.context() as elsewhere:  # this test's own connections are those of others then
            elsewhere.setattr(connection, "trusted_users", frozenset)
            for _ in range(2):
                one = await held.enter_async_context(client(api))
                assert (await one.answer(GET + b"\r\n"))[0] == 200
            third = await held.enter_async_context(client(api))
            status, answer = await third.answer(GET + b"\r\n")
            assert (status, answer["error"]["message"]) == (503, "node-daemon has more than 2 connections")
        assert await answers(api), "the daemon's own user and root have their own number"


async def test_bodies_of_all_requests_together_have_a_limit(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_limits, "MAX_BODIES_BYTES", 1000)
    body = POST + b"Content-Length: 800\r\n\r\n" + b" " * 700
    async with daemon() as api, client(api) as first:
        first.writer.write(body)
        async with asyncio.timeout(60), client(api) as second:
            while (await second.answer(POST + b"Content-Length: 400\r\n\r\n" + b" " * 400))[0] != 503:
                pass
        assert (await first.answer(b" " * 100))[0] == 422
        assert (await api.http.post("/v1/plan", content=b" " * 900)).status_code == 422


async def test_a_client_that_does_not_read_holds_little_and_loses_nothing(daemon: Running) -> None:
    async with daemon() as api:
        for number in range(2000):
            await api.app.store.run(api.app.store.events.append, "many", f"{number} " + "x" * 1000)
        async with client(api) as slow:
            slow.writer.write(b"GET /v1/events HTTP/1.0\r\n\r\n")
            assert await answers(api)
            text = (await slow.reader.read()).partition(b"\r\n\r\n")[2]
        last = await api.http.get("/v1/events?last=150&since=3")
    numbers = [int(json.loads(line)["message"].split()[0]) for line in text.splitlines()]
    assert numbers == list(range(2000))
    assert [int(json.loads(line)["message"].split()[0]) for line in last.text.splitlines()] == numbers[-150:]
