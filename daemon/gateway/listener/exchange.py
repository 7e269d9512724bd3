"""One request and its answer: the body, JSON out, a stream with signs of life, and what went wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from math import ceil
from typing import Any, TypeVar

import msgspec
from starlette.types import Message, Receive, Scope, Send

from daemon.access import allowed
from daemon.events.gateway_state import TokenCount
from daemon.gateway.dialects.dialect import Dialect
from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.gateway import Gateway
from daemon.gateway.metrics import Watched
from daemon.gateway.queue.turns import Asker
from daemon.launches.demand.use import Use
from domain.priority import Priority
from domain.units import MIB

# The largest that the services take whose protocols these are: 50 MB of images in one request (OpenAI's
# guide to vision), 32 MB (Anthropic's limits). Base64 in it is a third longer than the pictures.
MAX_BODY_BYTES = 64 * MIB
MAX_BODIES_BYTES = 4 * MAX_BODY_BYTES  # of all requests together
# msgspec reads about 1 GB/s and builds nothing of what is not asked for: what is shorter takes the loop
# less than a millisecond, which another thread would cost, too.
PARSED_ON_LOOP_BYTES = MIB
JSON_TYPE = (b"content-type", b"application/json")
EVENT_STREAM = b"text/event-stream"
PRIORITY_HEADER = b"x-request-class"
Header = tuple[bytes, bytes]
T = TypeVar("T")


class Exchange:
    """``rest`` is what follows the prefix of a route that ends in ``/*``, ``key`` the name of the client's
    key. Only its own task writes, and the timer of a silent stream between two writes of it."""

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        self.gateway = gateway
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope["query_string"].decode("latin-1")
        self.client: str = scope["client"][0] if scope.get("client") else ""
        self.key: str | None = None
        self.header_count = len(scope["headers"])
        self.rest = ""
        self.dialect: Dialect
        self.has_begun = self.is_stream = self.is_done = False
        self._receive = receive
        self._send = send
        self._held_bytes = 0
        self._body: bytes | None = None
        self._at_event_end = True
        self._is_writing = False
        self._sent_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._sign: asyncio.Task[None] | None = None
        self._model, self._computes = "", True
        self._watched: Watched | None = None
        self._use: Use | None = None

    # the request

    @property
    def asker(self) -> Asker:
        """Whose turn it is to be. Raises: GatewayError for a class that there is not."""
        asked = self.headers.get(PRIORITY_HEADER, b"").decode("latin-1").strip().lower()
        try:
            wanted = Priority(asked) if asked else None
        except ValueError:
            known = ", ".join(Priority)
            message = f"{PRIORITY_HEADER.decode()}: {asked[:40]!r} is none of {known}"
            raise GatewayError(Reason.INVALID, message) from None
        return Asker(self.key or self.client, allowed.priority_of(self.gateway.app, self.key, wanted))

    async def body(self) -> bytes:
        """All of it. Raises: GatewayError for one that is too long, or that never comes whole."""
        if self._body is not None:
            return self._body
        parts = []
        count_bytes = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise GatewayError(Reason.INVALID, "the request ended before its body did")
            part: bytes = message.get("body", b"")
            parts.append(part)
            count_bytes += len(part)
            self._hold(len(part))
            if count_bytes > MAX_BODY_BYTES:
                raise GatewayError(Reason.TOO_LARGE, f"the body has more than {MAX_BODY_BYTES // MIB} MiB")
            if not message.get("more_body"):
                break
        self._body = b"".join(parts)
        return self._body

    def _hold(self, count_bytes: int) -> None:
        bodies = self.gateway.bodies
        bodies.held_bytes += count_bytes
        self._held_bytes += count_bytes
        if bodies.held_bytes > MAX_BODIES_BYTES:
            most = f"{MAX_BODIES_BYTES // MIB} MiB"
            raise GatewayError(
                Reason.UNAVAILABLE, f"the bodies of all requests have more than {most}", retry_after_s=5
            )

    async def fields(self) -> dict[str, msgspec.Raw]:
        """The members of the body, a JSON object, each as it was sent. Raises: GatewayError."""
        return await parse(await self.body(), dict[str, msgspec.Raw])

    async def json(self) -> dict[str, Any]:
        """The body, a JSON object. Raises: GatewayError."""
        return await parse(await self.body(), dict[str, Any])

    async def until_gone(self) -> None:
        """Returns once the client has left. To be called after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # the answer

    async def send_json(self, value: Any, status: int = 200, headers: Iterable[Header] = ()) -> None:
        await self.send_bytes(msgspec.json.encode(value), status=status, headers=(JSON_TYPE, *headers))

    async def send_bytes(self, content: bytes, *, status: int, headers: Iterable[Header]) -> None:
        """The whole answer at once; as the end of a stream where that has begun."""
        if not self.has_begun:
            await self._start(status, (*headers, (b"content-length", b"%d" % len(content))))
        await self._write({"type": "http.response.body", "body": content})
        self.close()

    async def send_stream(
        self,
        parts: AsyncIterator[bytes],
        *,
        content_type: bytes = EVENT_STREAM,
        headers: Iterable[Header] = (),
    ) -> None:
        """``parts`` as they come, byte for byte."""
        await self.begin_stream(content_type, headers)
        async for part in parts:
            await self.send_part(part)
        await self.end_stream()

    def watch_silence(self, content_type: bytes = EVENT_STREAM) -> None:
        """From now on a silent answer sends the dialect's sign of life, and begins as a stream for it."""
        if self.dialect.keep_alive and self._timer is None:
            self._sent_at = asyncio.get_running_loop().time()
            self._timer = self._later(self.gateway.keep_alive_s, content_type)

    async def begin_stream(self, content_type: bytes = EVENT_STREAM, headers: Iterable[Header] = ()) -> None:
        if not self.has_begun:
            fixed = ((b"content-type", content_type), (b"cache-control", b"no-cache"))
            await self._start(200, (*fixed, (b"x-accel-buffering", b"no"), *headers))
            self.is_stream = True

    async def send_part(self, part: bytes) -> None:
        self._at_event_end = part.endswith((b"\n\n", b"\r\n\r\n"))
        await self._write({"type": "http.response.body", "body": part, "more_body": True})

    async def end_stream(self) -> None:
        await self._write({"type": "http.response.body", "body": b""})
        self.close()

    async def fail(self, error: GatewayError) -> None:
        """Refuses in the words of the dialect. Within a stream its error ends it. What is left of a body is
        read and dropped: a client that is cut off while it sends sees no answer."""
        if self.is_stream:
            await self.send_part(self.dialect.stream_error(error))
            await self.end_stream()
        if self.has_begun:
            return
        headers = [(b"www-authenticate", b"Bearer")] if error.status == 401 else []
        headers += [] if error.retry_after_s is None else [(b"retry-after", b"%d" % error.retry_after_s)]
        await self.send_json(self.dialect.error(error), error.status, headers)

    def close(self) -> None:
        """What it held is free. The client's connection is the server's."""
        self.is_done = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sign is not None:
            self._sign.cancel()
        self.gateway.bodies.held_bytes -= self._held_bytes
        self._held_bytes = 0
        self._count()

    def count_as(self, model: str, *, computes: bool = True) -> None:
        """From now on it is a request to ``model``, the name of a launch, for ``/metrics`` and the limits of
        its key; one that ``computes`` nothing has no tokens for the history.
        Raises: GatewayError for what that does not allow."""
        app, key = self.gateway.app, self.key
        self._model, self._computes = model, computes
        self._watched = Watched(asyncio.get_running_loop().time())
        self.gateway.metrics.in_flight[model] += 1
        if not allowed.may_ask(app, key, model):
            raise GatewayError(Reason.FORBIDDEN, f"the key {key} may not ask {model}")
        if wait_s := allowed.wait_s(app, key, self._watched.began_s):
            message = f"the rate of the key {key} is used up for {wait_s:.0f} s"
            raise GatewayError(Reason.BUSY, message, retry_after_s=max(1, ceil(wait_s)))
        self._use = app.launches[model].use
        self._use.begin(self._watched.began_s)

    def _count(self) -> None:
        if self._watched is not None:
            self.gateway.metrics.in_flight[self._model] -= 1
            now_s = asyncio.get_running_loop().time()
            if self._use is not None:
                self._use.end(now_s)
            tokens = self.gateway.metrics.record(self._model, self.dialect.name, self._watched, now_s)
            if tokens is not None:
                app = self.gateway.app
                if self._computes:
                    counted = app.gateway.token_counts.setdefault(self._model, TokenCount())
                    counted.add(tokens.prompt, tokens.answer)
                allowed.spend_tokens(app, self.key, tokens.known, now_s)
            self._watched = None

    async def _start(self, status: int, headers: Iterable[Header]) -> None:
        self.has_begun = True
        if self._watched is not None:
            self._watched.status = status
        await self._write({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def _write(self, message: Message) -> None:
        if self._sign is not None:
            await asyncio.wait({self._sign})
        if self._watched is not None and message.get("body"):
            self._watched.sent(message["body"], asyncio.get_running_loop().time())
        self._is_writing = True
        try:
            await self._send(message)
        finally:
            self._is_writing = False
            self._sent_at = asyncio.get_running_loop().time()

    # signs of life: a write that waits for a slow client is none of silence, and an event is never split

    def _later(self, delay_s: float, content_type: bytes) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, self._check_silence, content_type)

    def _check_silence(self, content_type: bytes) -> None:
        silent_s = asyncio.get_running_loop().time() - self._sent_at
        period_s = self.gateway.keep_alive_s
        if silent_s < period_s * 0.99:
            self._timer = self._later(period_s - silent_s, content_type)
            return
        if not self._is_writing and self._at_event_end and self._sign is None:
            begins = not self.has_begun
            if begins:  # at once: an answer that comes before the task runs must not begin another way
                self.has_begun = self.is_stream = True
            self._sign = asyncio.create_task(self._give_sign(content_type, begins=begins))
        self._timer = self._later(period_s, content_type)

    async def _give_sign(self, content_type: bytes, *, begins: bool) -> None:
        try:
            if begins:
                fixed = [(b"content-type", content_type), (b"cache-control", b"no-cache")]
                if self._watched is not None:
                    self._watched.status = 200
                await self._send({"type": "http.response.start", "status": 200, "headers": fixed})
            keep_alive = self.dialect.keep_alive
            await self._send({"type": "http.response.body", "body": keep_alive, "more_body": True})
            self._sent_at = asyncio.get_running_loop().time()
        finally:
            self._sign = None


async def parse(content: bytes, kind: type[T]) -> T:
    """``content`` as JSON of ``kind``. Raises: GatewayError."""
    try:
        if len(content) <= PARSED_ON_LOOP_BYTES:
            return msgspec.json.decode(content, type=kind)
        return await asyncio.to_thread(msgspec.json.decode, content, type=kind)
    except msgspec.ValidationError as error:
        raise GatewayError(Reason.INVALID, f"the body is not what is expected: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayError(Reason.INVALID, f"the body is not JSON: {error}") from error


async def encode(value: Any, like: bytes) -> bytes:
    """``value`` as JSON; ``like`` is the body that it was made from, by whose length it is done elsewhere."""
    if len(like) <= PARSED_ON_LOOP_BYTES:
        return msgspec.json.encode(value)
    return await asyncio.to_thread(msgspec.json.encode, value)


def event(value: Any, name: str = "") -> bytes:
    """A server-sent event with ``value`` as JSON."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"
