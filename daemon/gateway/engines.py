"""Requests to engines: over one HTTP client, to the launch that is named, wherever its engine listens now.

A request of which no byte has come back waits for an engine that restarts, and is sent once more: an engine
that died while it computed an answer has done nothing that counts.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daemon.gateway.conversations.seating import Seat, take_seat
from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.holding import Hold
from daemon.gateway.queue.turns import Asker, Turn, Turns
from daemon.launches.launch import Engine, Launch
from domain.units import MIB

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

CONNECT_S = 10.0
MAX_ANSWER_BYTES = 256 * MIB  # of one that is no stream: the vectors of a large batch as text
# They belong to one connection, or to the owner's key: an engine has neither.
NOT_PASSED_ON = frozenset(
    b"""host connection keep-alive transfer-encoding content-length te trailer upgrade expect accept-encoding
    authorization x-api-key cookie origin referer proxy-authorization""".split()
)


@dataclass(slots=True)
class Answer:
    """An engine's, whose first bytes are here; all of them, if it is no stream. It is to be closed: the
    engine stops then, and its place is another's."""

    status: int
    headers: Mapping[str, str]
    launch: Launch
    first: bytes
    _response: "aiohttp.ClientResponse"
    turn: Turn | None = None
    seat: Seat | None = None

    @property
    def is_stream(self) -> bool:
        return _is_stream(self.headers)

    @property
    def content_type(self) -> bytes:
        return self.headers.get("Content-Type", "application/json").encode("latin-1")

    async def parts(self) -> AsyncIterator[bytes]:
        """As they come. Raises: GatewayError where the engine ends in the middle."""
        import aiohttp  # noqa: PLC0415 - loaded by now

        if self.first:
            yield self.first
        try:
            async for part in self._response.content.iter_any():
                if self.seat is not None:
                    self.seat.heard(part)
                yield part
        except (aiohttp.ClientError, OSError) as error:
            raise broke_off(self.launch.name) from error

    def close(self) -> None:
        self._response.close()
        if self.seat is not None:
            self.seat.leave(used=self.status < 400)
        if self.turn is not None:
            self.turn.give_back()


def broke_off(name: str) -> GatewayError:
    message = f"the engine of {name} ended in the middle of its answer: node-ctl logs {name} may say why"
    return GatewayError(Reason.ENGINE_FAILED, message)


class Engines:
    """The client is made with the first request: a daemon that nobody asks does not load it."""

    def __init__(self, hold: Hold, *, normalises: bool = True) -> None:
        self.hold = hold
        self.turns = Turns()
        self._normalises = normalises
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        launch: Launch,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[bytes, bytes] | None = None,
        asker: Asker | None = None,
    ) -> Answer:
        """``path`` as clients of the engine itself write it. Of the ``headers`` of a client those are passed
        on that are not of its connection. ``asker`` waits for its turn; without one, the request needs none
        of the engine's slots. Raises: GatewayError where too many wait, where the engine does not become
        ready in the time that requests wait for it, or ends twice before its answer begins."""
        turn = None if asker is None else await self.turns.take(launch, asker)
        try:
            answer = await self._ask(launch, method, path, body, passed_on(headers or {}))
        except BaseException:  # a cancellation, too, must free the place
            if turn is not None:
                turn.give_back()
            raise
        if answer.is_stream:
            answer.turn = turn
        elif turn is not None:
            turn.give_back()
        return answer

    async def _ask(
        self, launch: Launch, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        import aiohttp  # noqa: PLC0415 - it takes memory that a daemon whom nobody asks does not need

        failed: Engine | None = None
        while True:
            ready, engine = await self.hold.until_ready(launch.name, not_with=failed)
            url = f"http://127.0.0.1:{engine.port}{path}"
            sent, seat = await take_seat(ready, path, body, normalises=self._normalises)
            try:
                own = engine.process.command.headers
                return await self._seated(seat, ready, method, url, sent, {**headers, **own})
            except (aiohttp.ClientError, OSError) as error:
                log.info("engine gave no answer: launch=%s %s: %s", ready.name, type(error).__name__, error)
                if failed is not None:
                    raise broke_off(ready.name) from error
                failed = engine

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _seated(
        self,
        seat: Seat | None,
        launch: Launch,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:
        if seat is None:
            return await self._begin(launch, method, url, body, headers)
        try:
            answer = await self._begin(launch, method, url, body, headers)
        except BaseException as error:  # a cancellation, too, must free the slot
            seat.leave(used=isinstance(error, asyncio.CancelledError))
            raise
        seat.heard(answer.first)
        if answer.is_stream:
            answer.seat = seat
        else:
            seat.leave(used=answer.status < 400)
        return answer

    async def _begin(
        self, launch: Launch, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        response = await self._client().request(
            method, url, data=body, headers=headers, allow_redirects=False
        )
        try:
            if _is_stream(response.headers):
                first = await response.content.readany()
            else:
                first = await _whole(response, launch.name)
        except BaseException:  # a cancellation, too, must not leave the connection open
            response.close()
            raise
        return Answer(response.status, response.headers, launch, first, response)

    def _client(self) -> "aiohttp.ClientSession":
        """A connection for each request: one that is kept holds a thread of llama-server, and is closed by
        it after 5 s, perhaps just when it is used again."""
        import aiohttp  # noqa: PLC0415 - see ask

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        return self._session


async def _whole(response: "aiohttp.ClientResponse", name: str) -> bytes:
    found = bytearray()
    async for part in response.content.iter_any():
        found += part
        if len(found) > MAX_ANSWER_BYTES:
            most = f"{MAX_ANSWER_BYTES // MIB} MiB"
            raise GatewayError(Reason.ENGINE_FAILED, f"the answer of {name} has more than {most}")
    return bytes(found)


def _is_stream(headers: Mapping[str, Any]) -> bool:
    return str(headers.get("Content-Type", "")).startswith("text/event-stream")


def passed_on(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers.items()
        if name not in NOT_PASSED_ON
    }
