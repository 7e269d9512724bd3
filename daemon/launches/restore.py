"""At a start: what was desired comes back. Engines that outlived the last daemon are taken over, not
started a second time; those that nobody desires any more are ended."""

import asyncio
import logging
import os

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.launches.service import supervise
from daemon.launches.start import adopted
from daemon.launches.thread_tuning import launch_of
from daemon.state.records import Run
from domain.errors import EngineError
from domain.launch import LaunchState
from domain.plan import Plan
from launchers.process import procfs
from launchers.process.child import Child
from launchers.process.engine import EngineProcess
from launchers.process.procfs import Identity

log = logging.getLogger(__name__)

GONE = "ended while no daemon ran"


async def restore(app: App) -> None:
    """Returns when survivors are known and all that was desired is on its way, in its old order."""
    for told in await asyncio.to_thread(app.store.launches):
        app.launches[told.request.name] = Launch.of(told)
    for run in await asyncio.to_thread(app.store.open_runs):
        await _settle(app, run)
    for launch in app.launches.values():
        if launch.kept:
            launch.become(LaunchState.STARTING if launch.process else LaunchState.QUEUED)
            supervise(app, launch)
        elif launch.state is not LaunchState.FAILED:
            launch.become(LaunchState.STOPPED)


async def _settle(app: App, run: Run) -> None:
    """One run whose end nobody saw: taken over, ended, or found to have ended."""
    launch = app.launches.get(run.launch)
    if launch is None or launch.plan is None or not launch.kept or launch.process is not None:
        await _end(app, run)
        return
    process = await _survivor(app, run, launch.plan)
    if process is None or process.identity is None:
        await asyncio.to_thread(app.store.close_run, run.id, GONE)
        return
    launch.process, launch.port, launch.run_id = process, run.port, run.id
    await asyncio.to_thread(app.store.identify_run, run.id, process.identity)
    app.ledger.reserve(launch.name, launch.plan)
    log.info("adopted: launch=%s pid=%s port=%d", launch.name, process.pid, run.port)


async def _survivor(app: App, run: Run, plan: Plan) -> EngineProcess | None:
    """By the pid that was written down, else by its command: another may have been started since."""
    if run.identity is not None and (found := await adopted(app, run, plan, run.identity)):
        return found
    unseen = await asyncio.to_thread(_started_unseen, run)
    return None if unseen is None else await adopted(app, run, plan, unseen)


async def _end(app: App, run: Run) -> None:
    """Ends an engine that nobody wants, of a launch that may be forgotten. One that can't be ended now
    is tried again at the next start."""
    outcome = GONE
    log_path = app.log_path(launch_of(run.launch))
    for identity in (run.identity, await asyncio.to_thread(_started_unseen, run)):
        child = None if identity is None else await Child.adopt(identity, run.command, log_path)
        if child is not None:
            log.warning(
                "survivor that nobody wants is ended: launch=%s pid=%d", run.launch, child.identity.pid
            )
            try:
                await child.stop()
            except EngineError as error:
                log.warning("not ended: launch=%s %s", run.launch, error)
                return
            outcome = "no longer wanted"
    await asyncio.to_thread(app.store.close_run, run.id, outcome)


def _started_unseen(run: Run) -> Identity | None:
    """The process of a run that was written down before it had a pid: the last daemon died between."""
    pids = (int(entry) for entry in os.listdir(procfs.PROC) if entry.isdigit())  # noqa: PTH208 - names are enough
    return next((procfs.identity(pid) for pid in pids if procfs.runs(pid, run.command.argv)), None)
