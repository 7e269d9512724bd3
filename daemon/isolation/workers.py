"""Runs what reads or computes on things that others made, in processes that can be ended.

A header can be made so that a plan of it never ends or fills the memory. Such work runs in a worker: a
process forked for this one call, with a deadline, a limit of CPU time and one of memory. Supervision, store
and API stay in the daemon's process, and share neither threads nor a lock with it.
"""

import asyncio
import logging
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from daemon.isolation.ended import TRY_AGAIN, count_oom_kills, died, over
from daemon.isolation.fork_server import ForkServer
from daemon.isolation.task import Call
from daemon.isolation.wire import ENDED, LENGTH, MAX_MESSAGE_BYTES, REPLY, USAGE, Outcome, Usage, load
from domain.anonymize import without_secrets
from domain.errors import NodeError, WorkerLostError
from domain.units import GIB, gib

log = logging.getLogger(__name__)

T = TypeVar("T")

USAGE_WITHIN_S = 2.0  # a worker that was told to end has this long to be gone
RETRY_DELAYS_S = (0.0, 0.1, 0.5, 2.0)  # where the fork server was killed with a worker


@dataclass(frozen=True, slots=True)
class Limits:
    """``memory_bytes`` is beyond what an idle worker has. ``at_once`` calls with these limits run at the same
    time, others wait."""

    deadline_s: float
    cpu_s: int
    at_once: int
    memory_bytes: int = GIB


class _ForkServerGoneError(Exception):
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
        WorkerLostError where somebody else ended it; RuntimeError with the worker's traceback for anything
        else."""
        call = Call(function, args, limits.cpu_s, limits.memory_bytes, dict(os.environ))
        async with self._slots.setdefault(limits, asyncio.Semaphore(limits.at_once)):
            message = await asyncio.to_thread(pickle.dumps, call, pickle.HIGHEST_PROTOCOL)
            outcome, value = await self._answer(what, message, limits)
        if outcome == Outcome.RESULT:
            result: T = value
            return result
        if outcome == Outcome.ERROR and isinstance(value, NodeError):
            raise value
        raise RuntimeError(without_secrets(f"{what} broke in a worker:\n{value}"))

    async def _answer(self, what: str, message: bytes, limits: Limits) -> tuple[str, Any]:
        """Of the first worker that does not end with the fork server, which each fork starts again."""
        why = ""
        for delay_s in (*RETRY_DELAYS_S, None):
            try:
                return await self._call(what, message, limits)
            except (_ForkServerGoneError, OSError) as error:
                why = str(error)
                log.warning("no answer of a worker: %s", error)
            if delay_s is not None:
                await asyncio.sleep(delay_s)
        raise WorkerLostError(
            f"{what} was tried {len(RETRY_DELAYS_S) + 1} times: {why}",
            hint=TRY_AGAIN,
        )

    async def _call(self, what: str, message: bytes, limits: Limits) -> tuple[str, Any]:
        oom_kills = await asyncio.to_thread(count_oom_kills)
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
                raise over(what, f"after {limits.deadline_s:g} s", await _ended(reader, writer)) from None
            if usage is not None:
                oom_kills = await asyncio.to_thread(count_oom_kills) - oom_kills
                raise died(what, usage, cpu_s=limits.cpu_s, oom_kills=oom_kills)
            if reply is None:
                raise _ForkServerGoneError("the fork server was ended, and its workers with it")
            outcome, value = await asyncio.to_thread(load, reply)
            if outcome == Outcome.NO_MEMORY:
                allowed = f"because it needed more than {gib(limits.memory_bytes)}"
                raise over(what, allowed, await _ended(reader, writer))
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
