"""What a connection may be: bytes that no client library sends, and too many of those that it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from daemon.gateway.listener import connection
from tests.daemon.gateway.conftest import Rig

GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(rig: Rig) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(rig.base).port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def status_of(streams: Streams, sent: bytes) -> int:
    streams[1].write(sent)
    return int((await streams[0].readline()).split()[1])


async def is_closed(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(30):
        await reader.read()  # to its end
    return True


async def test_several_requests_share_a_connection(gateway: Rig) -> None:
    async with connected(gateway) as streams:
        for _ in range(3):
            assert await status_of(streams, GET + b"\r\n") == 200
            await streams[0].readuntil(b"}")
            await streams[0].readexactly(0)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, id="TLS"),
        pytest.param(b"nonsense\r\n\r\n", 400, id="no HTTP"),
        pytest.param(GET + b"X: " + b"x" * 70_000, 431, id="a head without end"),
        pytest.param(GET + b"X: y\r\n" * 200 + b"\r\n", 431, id="too many headers"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, id="a path that is no text"),
    ],
)
async def test_what_is_no_request_is_refused(gateway: Rig, sent: bytes, status: int) -> None:
    async with connected(gateway) as streams:
        assert await status_of(streams, sent) == status


async def test_a_head_and_a_body_must_come_in_time(gateway: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.02)
    monkeypatch.setattr(connection, "BODY_WITHIN_S", 0.02)
    for sent in (b"", GET, b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"):
        async with connected(gateway) as streams:
            assert await status_of(streams, sent) == 408
            assert await is_closed(streams[0])


async def test_too_many_connections_are_told_to_come_back(
    gateway: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 1)
    async with connected(gateway) as first, connected(gateway) as second:
        assert await status_of(first, GET + b"\r\n") == 200
        assert int((await second[0].readline()).split()[1]) == 503
        assert b"retry-after: 5" in await second[0].read()
