"""One client's connection: how many there may be, how long a head may be, and how long a request may take.

Once a request is here, its answer may take as long as it likes: a model thinks for minutes.
"""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_WITHIN_S = 10.0
BODY_WITHIN_S = 300.0  # 64 MiB of pictures over a slow wireless network
IDLE_S = 75.0  # as nginx and many clients keep a connection that they may use again
MAX_HEAD_BYTES = 64 * 1024
MAX_CONNECTIONS = 512  # a household has a dozen clients, each with a few
CLOSE = b"connection: close\r\ncontent-type: application/json\r\n"


class GatewayConnection(HttpToolsProtocol):
    """uvicorn's protocol with bounds that httptools has not."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(503, f"there are more than {MAX_CONNECTIONS} connections", "retry-after: 5\r\n")
        else:
            self._await(HEAD_WITHIN_S)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"the head of the request has more than {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        if self.cycle is None or self.cycle.response_complete:  # else its turn comes later
            self._await(HEAD_WITHIN_S)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
        self._await(BODY_WITHIN_S)

    def on_message_complete(self) -> None:
        self._stop_timer()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _await(self, within_s: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(within_s, self._refuse, 408, "the request did not come in time")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, message: str, headers: str = "") -> None:
        """Answers, unless an answer has begun, and closes."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            content = json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()
            head = f"HTTP/1.1 {status} Refused\r\n{headers}content-length: {len(content)}\r\n"
            self.transport.write(head.encode() + CLOSE + b"\r\n" + content)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
