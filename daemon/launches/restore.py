"""Restores the launches of the previous daemon: desired ones are served again, each in its turn. Their
engines that still run are adopted, not started a second time; those of launches that are no longer desired
are ended."""

import asyncio
import logging

from daemon.app import App
from daemon.launches.launch import Engine, Launch
from daemon.launches.lifecycle import Lifecycle
from daemon.launches.names import name_of
from daemon.launches.start.engine import adopt_engine, launch_of
from daemon.launches.supervisor import supervise
from daemon.quarantine.verdict import reason
from daemon.state.records import LaunchRequest, Run
from domain.errors import EngineError, NodeError, StateError
from domain.events import EventKind
from domain.launches.launch import LaunchState
from domain.launches.plan import LaunchOptions
from domain.launches.serving import Policy, Serving

log = logging.getLogger(__name__)

GONE = "ended while no daemon ran"
UNKNOWN_MODEL = "unknown"  # of an engine whose launch is not in the store any more
WAITING = "its turn to be restored"


async def read_launches(app: App) -> None:
    """As the previous daemon left them, before anybody can ask for one. Those that are desired wait for their
    turn. Models that requests may launch by the settings are there, too, stopped."""
    for record in await app.store.run(app.store.launches.all):
        launch = app.launches[record.request.name] = Launch.from_record(record)
        if launch.lifecycle.desired:
            launch.waiting = WAITING
            if (work := app.in_flight.poison.get(launch.key)) is not None:
                launch.poison = NodeError(
                    f"quarantined: {reason(work)}",
                    hint=f"node-ctl start {launch.name} tries it again, "
                    f"node-ctl stop {launch.name} --forget removes it",
                )
            supervise(app, launch)
    for model in app.settings.request_models:
        if (name := name_of(model)) not in app.launches:
            request = LaunchRequest(name, model, LaunchOptions())
            stopped = Lifecycle(LaunchState.STOPPED, desired=False)
            app.launches[name] = Launch(request, stopped, serving=Serving(Policy.ON_DEMAND), parked=True)


async def find_survivors(app: App) -> None:
    """Finds the engines that still run. Until it returns, no task of a launch begins or ends anything."""
    try:
        for run in await app.store.run(app.store.runs.unfinished):
            await _restore_run(app, run)
        await _end_unknown(app)
    finally:
        app.survivors_known.set()
    for launch in tuple(app.launches.values()):
        if not launch.lifecycle.desired and launch.engine is not None and launch.task is None:
            launch.orders.give_stop(forget=not launch.stored)
            supervise(app, launch)


async def _restore_run(app: App, run: Run) -> None:
    """One run without a recorded end: adopts its engine, or records that it has ended."""
    name = launch_of(run.launch)
    launch = app.launches.get(name)
    if launch is not None and launch.engine is not None:
        return  # a launch has one engine: this run is closed with it
    engine = await _survivor(app, run, launch)
    if engine is None:
        await _close(app, run)
        return
    launch = app.launches.get(name)  # another one may have been asked for meanwhile
    if launch is None:
        launch = app.launches[name] = _unknown(name)
    launch.engine, launch.port = engine, engine.port
    if launch.plan is not None:
        app.ledger.reserve(launch.name, launch.plan)
    log.info("found: launch=%s pid=%s port=%d", launch.name, launch.pid, engine.port)


async def _survivor(app: App, run: Run, launch: Launch | None) -> Engine | None:
    """Found by the stored pid, else by the command: its pid may not have been stored."""
    if run.identity is not None and (engine := await adopt_engine(app, run, launch, run.identity)):
        return engine
    other = await asyncio.to_thread(app.adapters.find_process, run.command)
    return None if other is None else await adopt_engine(app, run, launch, other)


async def _close(app: App, run: Run) -> None:
    try:
        await app.store.run(app.store.runs.end_one, run.id, GONE)
    except StateError as error:
        log.warning("run not closed: id=%d %s", run.id, error)


def _unknown(name: str) -> Launch:
    """For an engine whose launch is no longer in the store: it is ended, then forgotten."""
    stopped = Lifecycle(LaunchState.STOPPED, desired=False)
    return Launch(LaunchRequest(name, UNKNOWN_MODEL, LaunchOptions()), stopped)


async def _end_unknown(app: App) -> None:
    """Ends engines of this state folder without a run: they started while the state could not be written."""
    engines = await asyncio.to_thread(app.adapters.find_engines, str(app.settings.state_dir))
    adopted = {launch.pid for launch in app.launches.values()}
    for identity in engines:
        if identity.pid not in adopted:
            log.warning("engine without a run is ended: pid=%d", identity.pid)
            try:
                await app.adapters.end_process(identity)
            except EngineError as error:
                await app.events.append(EventKind.ENGINE_STUCK, error.in_full)
