"""One client's connection: whose it is, how many each user may have, and how long a request may take to come.

A client that sends a byte a minute, or that opens connections without end, must not keep others out. Once a
request is here, its answer may take as long as it likes: a stream of events is silent for hours.
"""

import asyncio
import logging
import os
import sys

import h11
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from daemon.api import errors
from daemon.api.responses import dump
from domain.errors import BusyError
from launchers.process import procfs
from launchers.process.peer import credentials

log = logging.getLogger(__name__)

HEAD_WITHIN_S = 10.0
BODY_WITHIN_S = 60.0
MAX_OF_A_USER = 128
MAX_OF_OTHERS = 512  # of all users together that are neither root nor the daemon's own
MAX_REFUSED = 32  # connections beyond these are closed without an answer
HINT = "GET /openapi.json describes every request"


class Connection(H11Protocol):
    """Requests know as ``request.state.peer_uid`` who sends them, and as ``request.state.refusal`` why they
    are refused."""

    uid: int | None = None
    _awaited: type[h11.IDLE] | type[h11.SEND_BODY] | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        pid, self.uid, _ = credentials(transport.get_extra_info("socket"))
        excess, refusal = self._crowd()
        self.app_state = {**self.app_state, "peer_uid": self.uid, "refusal": refusal}
        if excess > MAX_REFUSED or _is_engine(pid):
            transport.abort()
        self._await_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Called while h11's error is handled: it knows more than ``msg``."""
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError):
            self._refuse(error.error_status_hint, f"no HTTP request: {error}")
        else:
            self._refuse(400, msg)

    def _crowd(self) -> tuple[int, BusyError | None]:
        """By how many there are too many connections, this one included, and the error to answer then."""
        uids = [other.uid for other in self.connections if isinstance(other, Connection)]
        trusted = trusted_users()
        mine, others = uids.count(self.uid), sum(uid not in trusted for uid in uids)
        hint = "close some, as those of node-ctl events -f and node-ctl logs -f, and try again"
        if mine > MAX_OF_A_USER:
            return mine - MAX_OF_A_USER, BusyError(
                f"user {self.uid} has more than {MAX_OF_A_USER} connections to node-daemon", hint=hint
            )
        if self.uid not in trusted and others > MAX_OF_OTHERS:
            return others - MAX_OF_OTHERS, BusyError(
                f"node-daemon has more than {MAX_OF_OTHERS} connections", hint=hint
            )
        return 0, None

    def _await_request(self) -> None:
        """The time for a head, or a body, runs from its begin; between requests uvicorn's own limit holds."""
        state = self.conn.their_state
        awaited = state if state in (h11.IDLE, h11.SEND_BODY) and not self.timeout_keep_alive_task else None
        if awaited is self._awaited:
            return
        self._stop_timer()
        self._awaited = awaited
        if awaited is not None:
            within_s = HEAD_WITHIN_S if awaited is h11.IDLE else BODY_WITHIN_S
            self._timer = self.loop.call_later(within_s, self._refuse_late, within_s)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse_late(self, within_s: float) -> None:
        part = "head" if self._awaited is h11.IDLE else "body"
        self._refuse(408, f"the {part} of the request did not come within {within_s:g} s")

    def _refuse(self, status: int, message: str) -> None:
        """Answers if no answer has begun, and closes. What the application still says is dropped."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            content = dump(errors.body("bad_usage", message, HINT)).encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
                (b"connection", b"close"),
            ]
            for event in (
                h11.Response(status_code=status, headers=headers),
                h11.Data(data=content),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _is_engine(pid: int) -> bool:
    """Engines send no requests: they run as a user who may open the socket, with models and templates of
    other people. The pid is 0 for another PID namespace, which engines can't make."""
    if pid == 0 or not procfs.is_engine(pid):
        return False
    log.warning("connection of an engine refused: pid=%d", pid)
    return True


def trusted_users() -> frozenset[int]:
    """Root and the daemon's own: others can't use up what these need."""
    return frozenset({0, os.getuid()})


def refusal_of(scope: Scope) -> BusyError | None:
    refusal: BusyError | None = scope.get("state", {}).get("refusal")
    return refusal
