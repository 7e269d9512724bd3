"""Runs what reads or computes on things that others made, in processes that can be ended.

A header can be made so that a plan of it never ends or fills the memory. Such work runs in a worker: a
process forked for this one call, with a deadline, a limit of CPU time and one of memory. Supervision, store
and API stay in the daemon's process, and share neither threads nor a lock with it.
"""

import asyncio
import os
import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from daemon.isolation.fork_server import ForkServer
from daemon.isolation.task import Call
from daemon.isolation.wire import ENDED, LENGTH, MAX_MESSAGE_BYTES, REPLY, USAGE, Outcome, Usage, load
from domain.anonymize import without_secrets
from domain.errors import BadModelError, NodeError
from domain.units import GIB, gib

T = TypeVar("T")

USAGE_WITHIN_S = 2.0  # a worker that was told to end has this long to be gone
HINT = "no model of its kind needs that much; if an engine serves it, report it: node-ctl doctor --report"


@dataclass(frozen=True, slots=True)
class Limits:
    """``memory_bytes`` is beyond what an idle worker has. ``at_once`` calls with these limits run at the same
    time, others wait."""

    deadline_s: float
    cpu_s: int
    at_once: int
    memory_bytes: int = GIB


class WorkerLimitError(BadModelError):
    """A worker took more time or memory than it may."""


class _ForkServerGoneError(RuntimeError):
    """A worker vanished, and nobody is there who could say how it ended."""


class Workers:
    """Belongs to one event loop."""

    def __init__(self, server: ForkServer) -> None:
        self._server = server
        self._slots: dict[Limits, asyncio.Semaphore] = {}

    def start(self) -> None:
        """The fork server, so that the first call need not wait for its imports. Blocks."""
        self._server.start()

    def close(self) -> None:
        """Ends the fork server. Workers that still run end with whoever waits for them. Blocks."""
        self._server.close()

    async def run(self, what: str, function: Callable[..., T], *args: Any, limits: Limits) -> T:
        """``function(*args)``: a function of a module, with arguments and a result of plain data. ``what``
        names the work in errors, as in "planning gemma". Cancelling the caller ends the work.

        Raises: what ``function`` raises of NodeError; WorkerLimitError with the time and memory it took;
        RuntimeError with the worker's traceback for anything else."""
        call = Call(function, args, limits.cpu_s, limits.memory_bytes, dict(os.environ))
        async with self._slots.setdefault(limits, asyncio.Semaphore(limits.at_once)):
            message = await asyncio.to_thread(pickle.dumps, call, pickle.HIGHEST_PROTOCOL)
            try:
                outcome, value = await self._call(what, message, limits)
            except _ForkServerGoneError:  # with all its workers; the next fork starts it again
                outcome, value = await self._call(what, message, limits)
        if outcome == Outcome.RESULT:
            result: T = value
            return result
        if outcome == Outcome.ERROR and isinstance(value, NodeError):
            raise value
        raise RuntimeError(without_secrets(f"{what} broke in a worker:\n{value}"))

    async def _call(self, what: str, message: bytes, limits: Limits) -> tuple[str, Any]:
        connection = await asyncio.to_thread(self._server.fork)
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            try:
                async with asyncio.timeout(limits.deadline_s):
                    writer.write(LENGTH.pack(len(message)))
                    writer.write(message)
                    with suppress(ConnectionError):  # it has ended: how, is read below
                        await writer.drain()
                    reply, usage = await _read_reply(reader)
            except TimeoutError:
                raise _over(what, f"after {limits.deadline_s:g} s", await _ended(reader, writer)) from None
            if usage is not None:
                raise _died(what, usage, limits)
            if reply is None:
                raise _ForkServerGoneError(f"{what} was ended with the fork server")
            outcome, value = await asyncio.to_thread(load, reply)
            if outcome == Outcome.NO_MEMORY:
                allowed = f"because it needed more than {gib(limits.memory_bytes)}"
                raise _over(what, allowed, await _ended(reader, writer))
            return outcome, value
        finally:
            writer.close()


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


def _died(what: str, usage: Usage, limits: Limits) -> WorkerLimitError:
    if usage.exit_code == -signal.SIGXCPU:
        return _over(what, f"after {limits.cpu_s} s of CPU time", usage)
    how = f"by the system with status {usage.exit_code}, most likely for lack of memory"
    return _over(what, how, usage)
