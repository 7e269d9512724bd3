"""Ends launches: one for good, or all of them until the next start."""

import asyncio
import contextlib
import logging
import os
import signal

from daemon.app import Node
from daemon.launches.launch import Live
from daemon.launches.persistence import forget as leave_no_row
from daemon.launches.persistence import remember_known
from daemon.launches.service import named
from daemon.launches.start import ended
from domain.launch import LaunchRow, LaunchState, Step

log = logging.getLogger(__name__)


async def stop(node: Node, name: str, *, forget: bool = False) -> LaunchRow:
    """Nothing of ``name`` runs and it is no longer desired. Callers share one stop, and one that goes
    away does not end it. Nothing of that name can begin before its end. Raises: UnknownLaunchError.
    """
    live = named(node, name)
    live.forgotten = live.forgotten or forget
    if live.ending is None:
        live.ending = asyncio.create_task(_ending(node, live), name=f"stop {name}")
    return await asyncio.shield(live.ending)


async def _ending(node: Node, live: Live) -> LaunchRow:
    try:
        row = await _stop(node, live)
        if live.forgotten:
            await leave_no_row(node, live)
            if node.live.get(live.name) is live:
                del node.live[live.name]
        return row
    finally:
        live.ending, live.forgotten = None, False  # no await since the last look at it


async def _stop(node: Node, live: Live) -> LaunchRow:
    """No longer desired is written first: a daemon that dies meanwhile must not bring it back. And last:
    until its task has ended, a launch under way may say otherwise."""
    live.kept = False
    await remember_known(node, live)
    served, before = live.state is LaunchState.READY, live.state
    await quiet(node, live)
    live.kept = False
    live.become(LaunchState.STOPPED)
    if served or not live.track.ended:
        live.say(Step.STOPPED, f"{live.name} is stopped")
    await remember_known(node, live)
    if before is not LaunchState.STOPPED:
        await node.diary.write("stopped", f"{live.name} is stopped", launch=live.name)
    return live.row()


async def quiet(node: Node, live: Live) -> None:
    """Ends the supervision and the engine of ``live``; what is desired stays as it is."""
    task, live.task = live.task, None
    live.become(LaunchState.STOPPING)
    if task is not None:
        task.cancel()
        await asyncio.wait({task})
    if live.process is not None:
        await live.process.stop()
        await ended(node, live, "stopped")
    node.ledger.release(live.name)


def hurry(node: Node) -> None:
    """No more grace: every engine's session is killed. Whoever waits for its end goes on."""
    for live in node.live.values():
        if live.process is not None and live.process.pid is not None:
            log.warning("killed in a hurry: launch=%s pid=%d", live.name, live.process.pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(live.process.pid, signal.SIGKILL)


async def stop_all(node: Node) -> None:
    """Engines end in the reverse order of their launch, and stay desired: the next start brings them back."""
    for live in reversed(tuple(node.live.values())):
        if live.ending is not None:  # it was asked for before
            await asyncio.wait({live.ending})
        if live.task is not None or live.process is not None:
            log.info("stopping: launch=%s", live.name)
            try:
                await quiet(node, live)
            except Exception:  # whatever keeps one from ending, the others must end
                log.exception("not stopped: launch=%s", live.name)
            live.track.close()
