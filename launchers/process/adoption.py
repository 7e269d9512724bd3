"""The proof of an engine that outlived its daemon: its answer, or that it serves its clients.

Where they keep it busy, the known question waits in their queue: a time-out is no verdict then.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

from domain.errors import EngineError
from launchers.liveness import Look
from launchers.readiness import Ready

log = logging.getLogger(__name__)

WINDOW_S = 10.0  # for the answer, or for a sign of life beside it
WINDOWS = 2  # without either, before it is given up


async def prove(
    check: Callable[[], Coroutine[Any, Any, Ready]],
    look: Callable[[], Awaitable[Look]],
    earlier: Ready | None,
    window_s: float = WINDOW_S,
) -> Ready:
    """What ``check`` answers; ``earlier``, as unchecked, for an engine that works for others meanwhile. One
    that still loads is waited for without an end.

    Raises: EngineError for a wrong answer, and for an engine in which nothing moves.
    """
    asking, idle_windows = asyncio.create_task(check()), 0
    try:
        before = await look()
        while True:
            await asyncio.wait({asking}, timeout=window_s)
            if asking.done():
                error = asking.exception()
                if not isinstance(error, EngineError) or error.cause != "no_answer":
                    return asking.result()
                asking = asyncio.create_task(check())
            now = await look()
            if (now.answers and now.moved_since(before)) or (
                now.silent and now.worked_since(before, window_s)
            ):
                return replace(earlier or Ready(""), load_s=None, unchecked=True)
            idle_windows += now.answers or now.silent
            if idle_windows == WINDOWS:
                raise EngineError(
                    f"the engine of the previous daemon did not answer within {WINDOWS * window_s:g} s, and "
                    "does not work for others",
                    hint="node-ctl logs shows its output",
                    cause="hung",
                )
            before = now
    finally:
        asking.cancel()
        await asyncio.wait({asking})
