"""At a start: what was desired is served again. Engines that outlived the last daemon are taken over, not
started a second time; those that nobody desires any more are ended."""

import asyncio
import logging

from daemon.app import App
from daemon.launches.launch import Engine, Launch
from daemon.launches.lifecycle import Lifecycle
from daemon.launches.start.engine import adopt_engine, launch_of
from daemon.launches.supervisor import supervise
from daemon.state.records import LaunchRequest, Run
from domain.errors import EngineError, StateError
from domain.launch import LaunchState
from domain.plan import LaunchOptions

log = logging.getLogger(__name__)

GONE = "ended while no daemon ran"
UNKNOWN_MODEL = "unknown"  # of an engine whose launch is not in the store any more


async def restore(app: App) -> None:
    """Returns when survivors are known and all that was desired is on its way, in its old order."""
    for record in await app.store.run(app.store.launches.all):
        app.launches[record.request.name] = Launch.from_record(record)
    for run in await app.store.run(app.store.runs.unfinished):
        await _settle(app, run)
    await _end_unknown(app)
    for launch in tuple(app.launches.values()):
        if launch.lifecycle.desired:
            supervise(app, launch)
        elif launch.engine is not None:
            launch.orders.give_stop(forget=not launch.stored)
            supervise(app, launch)


async def _settle(app: App, run: Run) -> None:
    """One run whose end nobody saw: its engine is the launch's again, or is found to have ended."""
    name = launch_of(run.launch)
    launch = app.launches.get(name)
    if launch is not None and launch.engine is not None:
        return  # a launch has one engine: this run is closed with it
    engine = await _survivor(app, run, launch)
    if engine is None:
        await _close(app, run)
        return
    if launch is None:
        launch = app.launches[name] = _unknown(name)
    launch.engine, launch.port = engine, engine.port
    if launch.plan is not None:
        app.ledger.reserve(launch.name, launch.plan)
    log.info("adopted: launch=%s pid=%s port=%d", launch.name, launch.pid, engine.port)


async def _survivor(app: App, run: Run, launch: Launch | None) -> Engine | None:
    """By the pid that was stored, else by its command: another may have been started since."""
    plan = None if launch is None else launch.plan
    if run.identity is not None and (engine := await adopt_engine(app, run, plan, run.identity)):
        return engine
    other = await asyncio.to_thread(app.adapters.find_process, run.command)
    return None if other is None else await adopt_engine(app, run, plan, other)


async def _close(app: App, run: Run) -> None:
    try:
        await app.store.run(app.store.runs.end_one, run.id, GONE)
    except StateError as error:
        log.warning("run not closed: id=%d %s", run.id, error)


def _unknown(name: str) -> Launch:
    """For an engine whose launch is not in the store any more: it is ended, and forgotten."""
    stopped = Lifecycle(LaunchState.STOPPED, desired=False)
    return Launch(LaunchRequest(name, UNKNOWN_MODEL, LaunchOptions()), stopped)


async def _end_unknown(app: App) -> None:
    """Engines of this state that no run tells of: they were started while the state could not be written."""
    owned = await asyncio.to_thread(app.adapters.find_engines, str(app.settings.state_dir))
    adopted = {launch.pid for launch in app.launches.values()}
    for identity in owned:
        if identity.pid not in adopted:
            log.warning("engine without a run is ended: pid=%d", identity.pid)
            try:
                await app.adapters.end_process(identity)
            except EngineError as error:
                await app.events.append("engine_stuck", error.in_full)
