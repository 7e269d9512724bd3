"""HTTP to the daemon over its Unix socket. On the standard library: importing httpx costs 0.18 s of CPU time,
a whole ``node-ctl ps`` 0.15 s.

Raises DaemonGoneError where no daemon answers, and AnswerError with the daemon's own code, message and hint
where it answers with an error.
"""

import json
import os
import pwd
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from config import instance
from ctl import paths
from domain.errors import DaemonGoneError, NodeError
from launchers.process.peer import credentials

JSON_HEADERS = {"Content-Type": "application/json"}
START_HINT = "start it with node-daemon, or let node-ctl launch MODEL start it"

# Reading the header of a remote model and querying an engine for its options both take seconds.
ANSWER_TIMEOUT_S = 120.0
CONNECT_TIMEOUT_S = 5.0


class AnswerError(NodeError):
    """An error that the daemon answered, with the daemon's code. ``explanation``: as the API has it, of a
    plan that does not fit."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        engine_output: str = "",
        explanation: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, engine_output=engine_output)
        self.code = code
        self.explanation = explanation


@dataclass(frozen=True, slots=True)
class Peer:
    """A daemon as its socket tells it. ``pid`` is ``None`` where the socket may not be opened."""

    socket: Path
    user: str
    pid: int | None


def find_socket() -> Path | None:
    """The first socket on which a daemon listens: only the given one, or the user's, then the system's. The
    user's may have been lost, by a logout for example: the daemon's lock then tells where it listens.

    Raises: DaemonGoneError for a socket that exists and may not be opened.
    """
    first, *others = paths.sockets()
    if _listens(first):
        return first
    holder = instance.running(paths.state_dir())
    if holder is None:
        return next((path for path in others if _listens(path)), None)
    is_meant = paths.named_socket() in (None, holder.configured)
    return holder.socket if is_meant and holder.socket and _listens(holder.socket) else None


def peer_of(path: Path) -> Peer | None:
    """The daemon that listens on ``path``, if any."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except PermissionError:
            return Peer(path, _user(path.stat().st_uid), None) if os.access(path.parent, os.X_OK) else None
        except OSError:
            return None
        pid, uid, _ = credentials(probe)
    return Peer(path, _user(uid), pid)


def other_daemons(running: Peer) -> list[Peer]:
    """Those that a command of this user could have been sent to instead."""
    places = paths.default_sockets()
    found = (peer_of(path) for path in places if path != running.socket)
    return [peer for peer in found if peer is not None and peer.pid != running.pid]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return False
        except PermissionError as error:
            raise DaemonGoneError(
                f"no permission to open {path}",
                hint="join its group: sudo usermod -aG node-daemon $USER, then log in again",
            ) from error
        except OSError as error:
            raise DaemonGoneError(f"{path}: {error}", hint="use another --socket") from error
        return not _was_killed(credentials(probe)[0])


def _was_killed(pid: int) -> bool:
    """Whether the process has ended, though the last of its threads still holds its sockets. Of one in
    another PID namespace nothing is known."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in (b"Z", b"X")


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("node-daemon")
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_TIMEOUT_S)
        self.sock.connect(str(self._path))
        self.sock.settimeout(self._timeout_s)


class Daemon:
    """The daemon behind one socket. Each call opens a connection."""

    def __init__(self, path: Path) -> None:
        self.socket = path

    def get(self, path: str, *, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
        """The JSON answer to GET ``path``."""
        return self._json("GET", path, None, timeout_s)

    def post(
        self, path: str, body: Mapping[str, object] | None = None, *, timeout_s: float = ANSWER_TIMEOUT_S
    ) -> Any:
        """The JSON answer to POST ``path``."""
        return self._json("POST", path, {} if body is None else body, timeout_s)

    def lines(self, path: str, body: Mapping[str, object] | None = None) -> Iterator[str]:
        """The lines of a stream as they arrive, until the daemon ends it; of POST with a ``body``. Closing it
        disconnects."""
        with self._answer("GET" if body is None else "POST", path, body, None) as response:
            while line := response.readline():
                yield line.decode("utf-8", "replace").rstrip("\r\n")

    def _json(self, method: str, path: str, body: Mapping[str, object] | None, timeout_s: float) -> Any:
        with self._answer(method, path, body, timeout_s) as response:
            content = response.read()
        try:
            return json.loads(content)
        except ValueError as error:
            raise AnswerError(
                "failed", f"the answer of node-daemon at {self.socket} is not JSON: {error}"
            ) from error

    @contextmanager
    def _answer(
        self, method: str, path: str, body: Mapping[str, object] | None, timeout_s: float | None
    ) -> Iterator[HTTPResponse]:
        connection = _UnixConnection(self.socket, timeout_s)
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, body=content, headers=JSON_HEADERS if content else {})
            response = connection.getresponse()
            if response.status >= 400:
                raise _answer_error(response.status, response.read())
            yield response
        except TimeoutError as error:
            raise DaemonGoneError(
                f"node-daemon at {self.socket} did not answer in {timeout_s or CONNECT_TIMEOUT_S:.0f} s",
                hint="see the daemon's log, or run node-ctl doctor",
            ) from error
        except (OSError, HTTPException) as error:
            raise self._gone(error) from error
        finally:
            connection.close()

    def _gone(self, error: Exception) -> DaemonGoneError:
        return DaemonGoneError(
            f"lost the connection to node-daemon at {self.socket}: {error or type(error).__name__}",
            hint=START_HINT,
        )


def _answer_error(status: int, body: bytes) -> AnswerError:
    try:
        error = json.loads(body)["error"]
        return AnswerError(
            str(error["code"]),
            str(error["message"]),
            hint=str(error.get("hint") or ""),
            engine_output=str(error.get("line") or ""),
            explanation=error.get("explanation"),
        )
    except (ValueError, KeyError, TypeError):
        text = body[:200].decode("utf-8", "replace").strip()
        return AnswerError("failed", f"the daemon answered {status}: {text}")
