"""Runs what reads or computes on things that others made, in processes that can be ended.

A header can be made so that a plan of it never ends or fills the memory. Such work runs in a worker: a
process forked for this one call, with a deadline, a limit of CPU time and one of memory. Supervision, store
and API stay in the daemon's process, and share neither threads nor a lock with it.
"""

import asyncio
import logging
import pickle
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from daemon.isolation.task import Call
from daemon.isolation.wire import ENDED, LENGTH, MAX_MESSAGE_BYTES, REPLY, USAGE, Outcome, Usage, load
from domain.errors import BadModelError, NodeError
from domain.units import GIB, gib

log = logging.getLogger(__name__)
T = TypeVar("T")

USAGE_WITHIN_S = 2.0  # a worker that was told to end has this long to be gone
HINT = "no model of its kind needs that much; if an engine serves it, report it: node-ctl doctor --report"


@dataclass(frozen=True, slots=True)
class Limits:
    """``cpu_s`` are seconds of CPU time; ``memory_bytes`` is beyond what an idle worker has."""

    deadline_s: float
    cpu_s: int
    memory_bytes: int = GIB


# A plan of a large model takes 0.6 s on two cores of a server, and ten times that on an N100 that is busy.
COMPUTING = Limits(deadline_s=60.0, cpu_s=45)
# The hub may be slow, the header's bytes are few.
RESOLVING = Limits(deadline_s=600.0, cpu_s=45)


class WorkerLimitError(BadModelError):
    """A worker took more time or memory than it may."""


class Workers:
    """Belongs to the event loop. ``most`` run at once; further calls wait for one of them to end."""

    def __init__(self, most: int) -> None:
        self._slots = asyncio.Semaphore(most)
        self._starting = asyncio.Lock()
        self._server: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None

    async def run(self, what: str, function: Callable[..., T], *args: Any, limits: Limits = COMPUTING) -> T:
        """``function(*args)``: a function of a module, arguments and result of plain data. ``what`` names the
        work in errors, as in "planning gemma". Whoever is cancelled here ends the work as well.

        Raises: what ``function`` raises of NodeError; WorkerLimitError with the time and memory it took;
        RuntimeError with the worker's traceback for anything else."""
        call = Call(function, args, limits.cpu_s, limits.memory_bytes)
        message = await asyncio.to_thread(pickle.dumps, call, pickle.HIGHEST_PROTOCOL)
        async with self._slots:
            outcome, value = await self._call(what, message, limits)
        if outcome == Outcome.RESULT:
            result: T = value
            return result
        if outcome == Outcome.ERROR and isinstance(value, NodeError):
            raise value
        raise RuntimeError(f"{what} broke in a worker:\n{value}")

    async def start(self) -> None:
        """The fork server, if it does not run: the first call need not wait for its imports then."""
        async with self._starting:
            if self._server is not None and self._server.returncode is None:
                return
            self._close_control()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            with theirs:
                self._server = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "daemon.isolation.fork_server",
                    str(theirs.fileno()),
                    str(logging.getLogger().getEffectiveLevel()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # a Ctrl-C at the daemon's terminal is not for it
                )
            self._control = ours

    async def close(self) -> None:
        """Ends the fork server. Workers that still run end with whoever waits for them."""
        self._close_control()
        if self._server is not None:
            await self._server.wait()

    def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    async def _call(self, what: str, message: bytes, limits: Limits) -> tuple[str, Any]:
        reader, writer = await self._connect()
        try:
            try:
                async with asyncio.timeout(limits.deadline_s):
                    writer.write(LENGTH.pack(len(message)))
                    writer.write(message)
                    await writer.drain()
                    reply, usage = await _read_reply(reader)
            except TimeoutError:
                raise _over(what, f"after {limits.deadline_s:g} s", await _ended(reader, writer)) from None
            if reply is None:
                raise _died(what, usage, limits)
            outcome, value = await asyncio.to_thread(load, reply)
            if outcome == Outcome.NO_MEMORY:
                allowed = f"because it needed more than {gib(limits.memory_bytes)}"
                raise _over(what, allowed, usage or await _ended(reader, writer))
            return outcome, value
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To a new worker. A fork server that has died meanwhile is started again, once."""
        for attempt in range(2):
            await self.start()
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    if self._control is None:
                        raise ConnectionError("the fork server is closed")
                    socket.send_fds(self._control, [b"w"], [theirs.fileno()])
                except OSError as error:
                    ours.close()
                    if attempt or self._server is None:
                        raise RuntimeError(f"no worker: {error}") from error
                    log.warning("fork server gone, started again: %s", error)
                    with suppress(ProcessLookupError):
                        self._server.kill()
                    await self._server.wait()
                    continue
            return await asyncio.open_connection(sock=ours)
        raise AssertionError("unreachable")


async def _read_reply(reader: asyncio.StreamReader) -> tuple[bytes | None, Usage | None]:
    """The reply of a worker; where it ended without one, what it had used, if that can be known."""
    try:
        kind = await reader.readexactly(1)
        if kind == ENDED:
            return None, Usage(*USAGE.unpack(await reader.readexactly(USAGE.size)))
        (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        if kind != REPLY or length > MAX_MESSAGE_BYTES:
            raise RuntimeError(f"a worker answered {kind!r} of {length} bytes")
        return await reader.readexactly(length), None
    except (asyncio.IncompleteReadError, ConnectionError):
        return None, None


async def _ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Usage | None:
    """Ends the worker, and waits for what the fork server says of it."""
    with suppress(OSError, RuntimeError, TimeoutError):
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(USAGE_WITHIN_S):
            rest = await reader.read(-1)
        at = rest.rfind(ENDED, 0, len(rest) - USAGE.size)
        if at == len(rest) - USAGE.size - 1:
            return Usage(*USAGE.unpack(rest[at + 1 :]))
    return None


def _over(what: str, why: str, usage: Usage | None) -> WorkerLimitError:
    used = f" ({usage.cpu_s:.1f} s of CPU time, {gib(usage.peak_bytes)})" if usage else ""
    return WorkerLimitError(f"{what} was ended {why}{used}", hint=HINT)


def _died(what: str, usage: Usage | None, limits: Limits) -> NodeError:
    if usage is not None and usage.exit_code == -signal.SIGXCPU:
        return _over(what, f"after {limits.cpu_s} s of CPU time", usage)
    how = "" if usage is None else f" with status {usage.exit_code}"
    return _over(what, f"by the system{how}: too little memory is the likeliest reason", usage)
