"""One worker: a call is read, made within its limits, and answered; then the process ends.

It also ends as soon as the daemon shuts its end of the socket, in whatever C loop it is: the kernel sends
SIGIO then, whose default action is to terminate.
"""

import fcntl
import logging
import os
import pickle
import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from daemon.isolation.wire import LENGTH, MAX_MESSAGE_BYTES, REPLY, Outcome
from domain.errors import NodeError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """``memory_bytes`` is beyond what the fork server has; ``cpu_s`` are seconds of all its threads;
    ``environ`` is the daemon's of now, which may have changed since the fork server was started."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    cpu_s: int
    memory_bytes: int
    environ: dict[str, str]


def serve(connection: socket.socket) -> NoReturn:
    """Never returns: a worker must not run on in the fork server's code."""
    status = 1
    try:
        connection.setblocking(True)
        call = _read_call(connection)
        _end_with(connection)
        _limit(call)
        os.environ.clear()
        os.environ.update(call.environ)
        reply = _reply(call)
        connection.sendall(REPLY + LENGTH.pack(len(reply)))
        connection.sendall(reply)
        status = 0
    except BaseException:  # whatever it was, the fork server says with which status it ended
        log.exception("worker broke: pid=%d", os.getpid())
    finally:
        sys.stderr.flush()
        os._exit(status)


def _read_call(connection: socket.socket) -> Call:
    with connection.makefile("rb") as stream:
        (length,) = LENGTH.unpack(stream.read(LENGTH.size))
        if length > MAX_MESSAGE_BYTES:
            raise ValueError(f"a call of {length} bytes")
        call: Call = pickle.loads(stream.read(length))  # noqa: S301 - the daemon wrote it
    return call


def _end_with(connection: socket.socket) -> None:
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLRDHUP)
    if poll.poll(0):  # shut before the signal was asked for
        os._exit(0)


def _limit(call: Call) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (call.cpu_s, call.cpu_s + 1))
    if (data_bytes := _data_bytes()) is not None:
        most_bytes = data_bytes + call.memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))


def _data_bytes() -> int | None:
    """What RLIMIT_DATA counts of this process: memory that it alone may write, not what is only reserved, as
    the allocator does for each thread. ``None`` where /proc does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return None


def _reply(call: Call) -> bytes:
    try:
        answer = (Outcome.RESULT.value, call.function(*call.args))
    except NodeError as error:
        answer = (Outcome.ERROR.value, error)
    except MemoryError:
        answer = (Outcome.NO_MEMORY.value, None)
    except Exception:  # noqa: BLE001 - raised again in the daemon, with this traceback
        answer = (Outcome.BUG.value, traceback.format_exc(limit=-20))
    message = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
    if len(message) > MAX_MESSAGE_BYTES:
        return pickle.dumps((Outcome.NO_MEMORY.value, None))
    return message
