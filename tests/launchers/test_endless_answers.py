"""An engine whose answer does not end is told so, and fills no memory."""

from collections.abc import AsyncIterator

import httpx
import pytest

from domain.errors import EngineError
from launchers.command import Command
from launchers.readiness import check_answer

COMMAND = Command(argv=("engine",), port=1, served_name="tiny")


class Endless(httpx.AsyncByteStream):
    """An answer that goes on for ever."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk = chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield self.chunk


@pytest.mark.parametrize(
    "chunk", [b"x" * 65536, b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n' * 999]
)
@pytest.mark.parametrize("endless", ["/v1/models", "/v1/chat/completions"])
async def test_an_answer_without_an_end_is_left(endless: str, chunk: bytes) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == endless:
            return httpx.Response(200, stream=Endless(chunk))
        return httpx.Response(200, json={"data": [{"id": "tiny"}]})

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(base_url="http://engine", transport=transport) as http:
        with pytest.raises(EngineError, match="its answer is longer than 4194304 bytes"):
            await check_answer(http, COMMAND, expect=None)
