"""Ends launches: one for good, or all of them until the next start."""

import asyncio
import contextlib
import logging
import os
import signal

from daemon.launch import remember
from daemon.live import Live
from daemon.node import Node
from daemon.requests import named
from daemon.start import ended
from domain.launch import LaunchRow, LaunchState, Step

log = logging.getLogger(__name__)


async def stop(node: Node, name: str, *, forget: bool = False) -> LaunchRow:
    """Nothing of ``name`` runs and it is no longer desired. Callers share one stop, and one that goes
    away does not end it. Raises: UnknownLaunchError.
    """
    live = named(node, name)
    if live.ending is None:
        live.ending = asyncio.create_task(_stop(node, live), name=f"stop {name}")
        live.ending.add_done_callback(lambda _: setattr(live, "ending", None))
    row = await asyncio.shield(live.ending)
    if forget and node.live.get(name) is live:
        await asyncio.to_thread(node.store.forget_launch, name)
        del node.live[name]
    return row


async def _stop(node: Node, live: Live) -> LaunchRow:
    """No longer desired is written first: a daemon that dies meanwhile must not bring it back."""
    live.kept = False
    known = await asyncio.to_thread(node.store.launch, live.name) is not None
    if known:
        await remember(node, live)
    served, before = live.state is LaunchState.READY, live.state
    await quiet(node, live)
    live.become(LaunchState.STOPPED)
    if served or not live.track.ended:
        live.say(Step.STOPPED, f"{live.name} is stopped")
    if known:
        await remember(node, live)
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
    for live in reversed(node.live.values()):
        if live.task is not None or live.process is not None:
            log.info("stopping: launch=%s", live.name)
            await quiet(node, live)
            live.track.close()
