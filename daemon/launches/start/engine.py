"""The engine process of a launch, for serving or for a trial: recorded, started, checked, adopted."""

import asyncio
import logging
from dataclasses import replace
from functools import partial

from daemon.app import App, sandbox
from daemon.launches.launch import Engine, Launch
from daemon.launches.start.answer_check import expected
from daemon.launches.start.watch import Watch
from daemon.state.records import Run
from domain.errors import EngineError, StateError
from domain.launches.launch import Step
from domain.launches.plan import Plan
from domain.launches.restraint import UNRESTRAINED, Restraint
from launchers import ports
from launchers.command import Command, Exit
from launchers.process.orphans import OWNER
from launchers.process.procfs import Identity
from launchers.readiness import Ready
from launchers.sandbox import limits

log = logging.getLogger(__name__)

PID_POLL_S = 0.02
NEW_PID_POLL_S = 0.25  # an engine that ends quickly is started a second time, with another pid
TRIAL = ":tune"  # suffix of a run's name; names of launches have no colon


async def choose_port(app: App, launch: Launch) -> int:
    """Its last port, so that clients find it again, else the lowest free one. Raises: BusyError."""
    last = await app.store.run(app.store.runs.last_port, launch.name)
    # no await from here to the assignment: two launches can't choose the same one
    taken = {other.port for other in app.launches.values() if other is not launch and other.port}
    first, final = app.settings.port_first, app.settings.port_last
    if last is not None and first <= last <= final and last not in taken and ports.is_free(last):
        launch.port = last
    else:
        launch.port = ports.free_port(first, final, taken=taken)
    return launch.port


async def start_engine(
    app: App, launch: Launch, plan: Plan, command: Command, *, engine_version: str | None, trial: bool = False
) -> Ready:
    """The engine's answer to the test question. ``launch.engine`` is set before its process exists, so that
    the supervisor can end it at any time. Raises: EngineError."""
    command = replace(command, env={**command.env, OWNER: str(app.settings.state_dir)})
    if app.settings.engine_keys and app.gateway.bound is not None:  # else its clients come to its own port
        command = command.with_key()
    run_id = await _begin_run(
        app, launch.name + (TRIAL if trial else ""), command, engine_version=engine_version
    )
    watch = _watch(app, launch.name, plan, launch.ladder.restraint, trial=trial)
    process = app.adapters.new_process(command, watch)
    launch.engine = Engine(process, command.port, run_id, trial=trial)
    return await wait_until_ready(app, launch, launch.engine)


async def adopt_engine(app: App, run: Run, launch: Launch | None, identity: Identity) -> Engine | None:
    """The engine of ``run``; ``None`` if it is gone, or its pid is another process's by now. Without a
    plan of ``launch`` it can only be ended."""
    trial = run.launch.endswith(TRIAL)
    plan = None if launch is None else launch.plan
    watch = _watch(app, launch_of(run.launch), plan, UNRESTRAINED, trial=trial)
    process = app.adapters.new_process(run.command, watch)
    if not await process.adopt(identity, None if launch is None else launch.ready):
        return None
    return Engine(process, run.port, run.id, trial=trial)


def launch_of(run: str) -> str:
    """The launch that a run belongs to, a trial's too."""
    return run.removesuffix(TRIAL)


async def wait_until_ready(app: App, launch: Launch, engine: Engine) -> Ready:
    """Stores its pid as soon as it has one, and again when that changes, so that a later daemon can find it.
    Raises: EngineError."""
    starting = asyncio.ensure_future(engine.process.ensure_ready(app.settings.ready_timeout_s))
    stored: Identity | None = None
    try:
        while True:
            done, identity = starting.done(), engine.process.identity
            if identity not in (None, stored):
                stored = identity
                await _identify(app, launch, engine, stored)
            if done:
                return starting.result()
            await asyncio.wait({starting}, timeout=NEW_PID_POLL_S if stored else PID_POLL_S)
    finally:
        starting.cancel()


async def engine_gone(app: App, launch: Launch, outcome: str) -> None:
    """Records that no process of it is left: all runs of the launch are closed, those of trials and of
    interrupted starts, too."""
    launch.engine = None
    try:
        await app.store.run(app.store.runs.end, (launch.name, launch.name + TRIAL), outcome)
    except StateError as error:  # the next daemon finds no process, and closes them
        log.warning("runs not closed: launch=%s %s", launch.name, error)


async def end_trial(app: App, launch: Launch) -> None:
    if launch.process is not None:
        await launch.process.stop()
        await engine_gone(app, launch, "was a trial")


async def _begin_run(app: App, name: str, command: Command, *, engine_version: str | None) -> int | None:
    """``None`` if the state can't be written: the engine is started all the same, and a later daemon
    recognises it by its environment."""
    try:
        return await app.store.run(
            app.store.runs.begin, name, command, port=command.port, engine_version=engine_version
        )
    except StateError as error:
        log.warning("run not stored: launch=%s %s", name, error)
        return None


async def _identify(app: App, launch: Launch, engine: Engine, identity: Identity | None) -> None:
    if identity is None:
        return
    if engine.run_id is not None:
        try:
            await app.store.run(app.store.runs.identify, engine.run_id, identity)
        except StateError as error:
            log.warning("pid not stored: launch=%s pid=%d %s", launch.name, identity.pid, error)
    if not engine.trial:
        launch.say(Step.CHECK, f"pid {identity.pid}, waiting for the answer to a test question")


def _watch(app: App, launch: str, plan: Plan | None, restraint: Restraint, *, trial: bool) -> Watch:
    """Where its log goes, how failures are read from it, what it may use. Engines of the service get units,
    but not those of trials: what slows a trial down is read from the daemon's control group."""
    launcher = None if plan is None else app.adapters.launchers[plan.engine]
    return Watch(
        log_path=app.log_path(launch),
        log_limit_bytes=app.settings.log_max_bytes,
        diagnose=_undiagnosed if launcher is None else launcher.diagnose,
        find_degradation=None
        if launcher is None or plan is None
        else partial(launcher.find_degradation, plan=plan),
        expect=None if plan is None else expected(app.catalogue, plan),
        sandbox=replace(
            sandbox(app.settings),
            scratch=app.scratch_path(launch),
            unit=launch if app.is_service and not trial else None,
            limits=None if plan is None else limits.of_plan(plan, restraint.margin_bytes),
        ),
    )


def _undiagnosed(log_tail: str, ended: Exit) -> EngineError:
    del log_tail
    return EngineError(f"the engine ended: {ended}", cause="unknown")
