"""An engine from its command to its first answer, written down before and after."""

import asyncio
import logging
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from daemon.app import App
from daemon.launches.answer_check import expected, is_proved
from daemon.launches.launch import Launch
from daemon.launches.persistence import save
from daemon.planning.speed_history import record_speed
from daemon.planning.verification import read_back
from daemon.resources.ledger import host_held_bytes
from daemon.state.records import Run
from domain.errors import StateError
from domain.launch import LaunchState, Step
from domain.plan import Plan
from launchers import ports
from launchers.base import Capabilities
from launchers.command import Command
from launchers.process.engine import EngineProcess
from launchers.process.procfs import Identity
from launchers.readiness import Ready

log = logging.getLogger(__name__)

PID_POLL_S = 0.02
NEW_PID_POLL_S = 0.25  # an engine that ends quickly is started a second time, with another pid


async def start(app: App, launch: Launch, plan: Plan, caps: Capabilities) -> None:
    """Starts the engine of ``plan``, waits for its known answer, reads back what it took.

    Raises: EngineError, BusyError."""
    launch.become(LaunchState.STARTING)
    port = await take_port(app, launch)
    command = app.adapters.launchers[plan.engine].command(plan, caps=caps, port=port, name=launch.name)
    launch.plan = replace(plan, argv=command.argv, env=command.env)
    launch.run_id = await asyncio.to_thread(
        app.store.open_run, launch.name, command, port=port, engine_version=caps.version
    )
    launch.say(Step.START, f"starting {plan.engine} {caps.version or ''}".rstrip() + f" on {command.url}")
    launch.process = new_process(app, plan, command, app.log_path(launch.name))
    await _until_it_serves(app, launch, launch.process, caps)


async def taken_over(app: App, launch: Launch) -> None:
    """An engine of the last daemon proves that it still answers. Raises: EngineError; it is ended then."""
    if launch.process is None:
        raise RuntimeError(f"{launch.name} has no process to take over")
    if launch.plan is not None:
        app.ledger.reserve(launch.name, launch.plan)
    launch.say(Step.START, "the engine of the last daemon still runs")
    launch.reused = ("the running engine",)
    await _until_it_serves(app, launch, launch.process)
    await app.events.append("adopted", f"{launch.name} outlived the last daemon", launch=launch.name)


def new_process(app: App, plan: Plan, command: Command, log_path: Path) -> EngineProcess:
    launcher = app.adapters.launchers[plan.engine]
    return EngineProcess(
        command,
        log_path=log_path,
        diagnose=launcher.diagnose,
        degraded=partial(launcher.degraded, plan=plan),
        expect=expected(app.catalogue, plan),
        log_limit_bytes=app.settings.log_max_bytes,
    )


async def adopted(app: App, run: Run, plan: Plan, identity: Identity) -> EngineProcess | None:
    """The engine of ``run``, ``None`` where it is gone or the pid is another's by now."""
    launcher = app.adapters.launchers[plan.engine]
    return await EngineProcess.adopt(
        identity,
        run.command,
        log_path=app.log_path(run.launch),
        diagnose=launcher.diagnose,
        degraded=partial(launcher.degraded, plan=plan),
        expect=expected(app.catalogue, plan),
        log_limit_bytes=app.settings.log_max_bytes,
    )


async def _until_it_serves(
    app: App, launch: Launch, process: EngineProcess, caps: Capabilities | None = None
) -> None:
    """With ``caps``, of the build that was started, what it took is read back."""
    began = time.monotonic()
    try:
        ready = await known_ready(app, launch, process, launch.run_id)
    except BaseException:  # cancelled, too: an engine that nobody waits for must not stay
        await process.stop()
        await ended(app, launch, "did not come up")
        raise
    if caps is not None and launch.plan is not None:
        launch.plan = await read_back(app, launch.plan, caps, process)
        await record_speed(app, launch.plan, ready, caps)
    log.info("ready: launch=%s port=%s after_s=%.1f", launch.name, launch.port, time.monotonic() - began)
    await serving(app, launch, ready)


async def known_ready(app: App, launch: Launch, process: EngineProcess, run_id: int | None) -> Ready:
    """Its pid is written down as soon as there is one, and again when it has another: from then on a
    later daemon can find it."""
    starting = asyncio.ensure_future(process.ensure_ready(app.settings.ready_timeout_s))
    written: Identity | None = None
    try:
        while True:
            done, identity = starting.done(), process.identity
            if run_id is not None and identity not in (None, written):
                written = identity
                await _identify(app, launch, run_id, written)
            if done:
                return starting.result()
            await asyncio.wait({starting}, timeout=NEW_PID_POLL_S if written else PID_POLL_S)
    finally:
        starting.cancel()


async def _identify(app: App, launch: Launch, run_id: int, identity: Identity) -> None:
    await asyncio.to_thread(app.store.identify_run, run_id, identity)
    if run_id == launch.run_id:
        launch.say(Step.CHECK, f"pid {identity.pid}, waiting for a known answer")


async def serving(app: App, launch: Launch, ready: Ready) -> None:
    """``launch`` answers: settled in the ledger, told, written down."""
    launch.ready, launch.last_error = ready, None
    launch.become(LaunchState.READY)
    if launch.process is not None and launch.process.pid is not None:
        held_bytes = await asyncio.to_thread(host_held_bytes, launch.process.pid)
        app.ledger.settle(launch.name, held_bytes)
    try:
        await save(app, launch)
    except StateError as error:  # it was written down as desired before: a full disk ends no engine
        log.warning("state not written: launch=%s %s", launch.name, error)
    rate = f", {ready.decode_tokens_per_s:.1f} tokens/s" if ready.decode_tokens_per_s else ""
    doubt = "" if is_proved(ready) else ", its answer is plausible and not proved"
    await app.events.append(
        "ready", f"{launch.name} answers on port {launch.port}{rate}{doubt}", launch=launch.name
    )
    launch.say(Step.READY, f"{launch.name} is ready{rate}{doubt}")


async def ended(app: App, launch: Launch, outcome: str) -> None:
    """The engine of ``launch`` is gone: nothing is promised to it, its run is closed."""
    run_id, launch.run_id, launch.process = launch.run_id, None, None
    app.ledger.release(launch.name)
    if run_id is not None:
        await close(app, run_id, outcome)


async def close(app: App, run_id: int, outcome: str) -> None:
    """A run that can't be closed now is closed by the next start, which finds no such process."""
    try:
        await asyncio.to_thread(app.store.close_run, run_id, outcome)
    except StateError as error:
        log.warning("run not closed: id=%d %s", run_id, error)


async def take_port(app: App, launch: Launch) -> int:
    """The port it had, so that clients find it again; else the first one that is free. It is ``launch``'s
    from here on, whether its engine runs or is about to. Raises: BusyError."""
    async with app.port_lock:
        others = [one for one in app.launches.values() if one is not launch and (one.task or one.process)]
        taken = {one.port for one in others if one.port}
        launch.port = await asyncio.to_thread(_free_port, app, launch.name, taken)
        return launch.port


def _free_port(app: App, name: str, taken: set[int]) -> int:
    last = app.store.last_port(name)
    first, final = app.settings.port_first, app.settings.port_last
    if last is not None and first <= last <= final and last not in taken and ports.is_free(last):
        return last
    return ports.free_port(first, final, taken=taken)
