"""Ends launches: one for good, or all of them until the next start."""

import asyncio
import contextlib
import logging
import os
import signal

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.launches.persistence import forget as leave_no_row
from daemon.launches.persistence import update_existing
from daemon.launches.service import get
from daemon.launches.start import ended
from domain.launch import LaunchRow, LaunchState, Step

log = logging.getLogger(__name__)


async def stop(app: App, name: str, *, forget: bool = False) -> LaunchRow:
    """Nothing of ``name`` runs and it is no longer desired. Callers share one stop, and one that goes
    away does not end it. Nothing of that name can begin before its end. Raises: UnknownLaunchError.
    """
    launch = get(app, name)
    launch.forgotten = launch.forgotten or forget
    if launch.ending is None:
        launch.ending = asyncio.create_task(_ending(app, launch), name=f"stop {name}")
    return await asyncio.shield(launch.ending)


async def _ending(app: App, launch: Launch) -> LaunchRow:
    try:
        row = await _stop(app, launch)
        if launch.forgotten:
            await leave_no_row(app, launch)
            if app.launches.get(launch.name) is launch:
                del app.launches[launch.name]
        return row
    finally:
        launch.ending, launch.forgotten = None, False  # no await since the last look at it


async def _stop(app: App, launch: Launch) -> LaunchRow:
    """No longer desired is written first: a daemon that dies meanwhile must not bring it back. And last:
    until its task has ended, a launch under way may say otherwise."""
    launch.kept = False
    await update_existing(app, launch)
    served, before = launch.state is LaunchState.READY, launch.state
    await shut_down(app, launch)
    launch.kept = False
    launch.become(LaunchState.STOPPED)
    if served or not launch.track.ended:
        launch.say(Step.STOPPED, f"{launch.name} is stopped")
    await update_existing(app, launch)
    if before is not LaunchState.STOPPED:
        await app.events.append("stopped", f"{launch.name} is stopped", launch=launch.name)
    return launch.row()


async def shut_down(app: App, launch: Launch) -> None:
    """Ends the supervision and the engine of ``launch``; what is desired stays as it is."""
    task, launch.task = launch.task, None
    launch.become(LaunchState.STOPPING)
    if task is not None:
        task.cancel()
        await asyncio.wait({task})
    if launch.process is not None:
        await launch.process.stop()
        await ended(app, launch, "stopped")
    app.ledger.release(launch.name)


def kill_all(app: App) -> None:
    """No more grace: every engine's session is killed. Whoever waits for its end goes on."""
    for launch in app.launches.values():
        if launch.process is not None and launch.process.pid is not None:
            log.warning("killed in a hurry: launch=%s pid=%d", launch.name, launch.process.pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(launch.process.pid, signal.SIGKILL)


async def stop_all(app: App) -> None:
    """Engines end in the reverse order of their launch, and stay desired: the next start brings them back."""
    for launch in reversed(tuple(app.launches.values())):
        if launch.ending is not None:  # it was asked for before
            await asyncio.wait({launch.ending})
        if launch.task is not None or launch.process is not None:
            log.info("stopping: launch=%s", launch.name)
            try:
                await shut_down(app, launch)
            except Exception:  # whatever keeps one from ending, the others must end
                log.exception("not stopped: launch=%s", launch.name)
            launch.track.close()
