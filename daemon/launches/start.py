"""An engine from its command to its first answer, written down before and after."""

import asyncio
import logging
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from daemon.app import Node
from daemon.launches.answer_check import expected, is_proved
from daemon.launches.launch import Live
from daemon.launches.persistence import remember
from daemon.planning.speed_history import keep_speed
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


async def start(node: Node, live: Live, plan: Plan, caps: Capabilities) -> None:
    """Starts the engine of ``plan``, waits for its known answer, reads back what it took.

    Raises: EngineError, BusyError."""
    live.become(LaunchState.STARTING)
    port = await take_port(node, live)
    command = node.rooms.launchers[plan.engine].command(plan, caps=caps, port=port, name=live.name)
    live.plan = replace(plan, argv=command.argv, env=command.env)
    live.run_id = await asyncio.to_thread(
        node.store.open_run, live.name, command, port=port, engine_version=caps.version
    )
    live.say(Step.START, f"starting {plan.engine} {caps.version or ''}".rstrip() + f" on {command.url}")
    live.process = new_process(node, plan, command, node.log_path(live.name))
    await _until_it_serves(node, live, live.process, caps)


async def taken_over(node: Node, live: Live) -> None:
    """An engine of the last daemon proves that it still answers. Raises: EngineError; it is ended then."""
    if live.process is None:
        raise RuntimeError(f"{live.name} has no process to take over")
    if live.plan is not None:
        node.ledger.reserve(live.name, live.plan)
    live.say(Step.START, "the engine of the last daemon still runs")
    live.reused = ("the running engine",)
    await _until_it_serves(node, live, live.process)
    await node.diary.write("adopted", f"{live.name} outlived the last daemon", launch=live.name)


def new_process(node: Node, plan: Plan, command: Command, log_path: Path) -> EngineProcess:
    launcher = node.rooms.launchers[plan.engine]
    return EngineProcess(
        command,
        log_path=log_path,
        diagnose=launcher.diagnose,
        degraded=partial(launcher.degraded, plan=plan),
        expect=expected(node.catalogue, plan),
        log_limit_bytes=node.settings.log_max_bytes,
    )


async def adopted(node: Node, run: Run, plan: Plan, identity: Identity) -> EngineProcess | None:
    """The engine of ``run``, ``None`` where it is gone or the pid is another's by now."""
    launcher = node.rooms.launchers[plan.engine]
    return await EngineProcess.adopt(
        identity,
        run.command,
        log_path=node.log_path(run.launch),
        diagnose=launcher.diagnose,
        degraded=partial(launcher.degraded, plan=plan),
        expect=expected(node.catalogue, plan),
        log_limit_bytes=node.settings.log_max_bytes,
    )


async def _until_it_serves(
    node: Node, live: Live, process: EngineProcess, caps: Capabilities | None = None
) -> None:
    """With ``caps``, of the build that was started, what it took is read back."""
    began = time.monotonic()
    try:
        ready = await known_ready(node, live, process, live.run_id)
    except BaseException:  # cancelled, too: an engine that nobody waits for must not stay
        await process.stop()
        await ended(node, live, "did not come up")
        raise
    if caps is not None and live.plan is not None:
        live.plan = await read_back(node, live.plan, caps, process)
        await keep_speed(node, live.plan, ready, caps)
    log.info("ready: launch=%s port=%s after_s=%.1f", live.name, live.port, time.monotonic() - began)
    await serving(node, live, ready)


async def known_ready(node: Node, live: Live, process: EngineProcess, run_id: int | None) -> Ready:
    """Its pid is written down as soon as there is one, and again when it has another: from then on a
    later daemon can find it."""
    starting = asyncio.ensure_future(process.ensure_ready(node.settings.ready_timeout_s))
    written: Identity | None = None
    try:
        while True:
            done, identity = starting.done(), process.identity
            if run_id is not None and identity not in (None, written):
                written = identity
                await _identify(node, live, run_id, written)
            if done:
                return starting.result()
            await asyncio.wait({starting}, timeout=NEW_PID_POLL_S if written else PID_POLL_S)
    finally:
        starting.cancel()


async def _identify(node: Node, live: Live, run_id: int, identity: Identity) -> None:
    await asyncio.to_thread(node.store.identify_run, run_id, identity)
    if run_id == live.run_id:
        live.say(Step.CHECK, f"pid {identity.pid}, waiting for a known answer")


async def serving(node: Node, live: Live, ready: Ready) -> None:
    """``live`` answers: settled in the ledger, told, written down."""
    live.ready, live.last_error = ready, None
    live.become(LaunchState.READY)
    if live.process is not None and live.process.pid is not None:
        held_bytes = await asyncio.to_thread(host_held_bytes, live.process.pid)
        node.ledger.settle(live.name, held_bytes)
    try:
        await remember(node, live)
    except StateError as error:  # it was written down as desired before: a full disk ends no engine
        log.warning("state not written: launch=%s %s", live.name, error)
    rate = f", {ready.decode_tokens_per_s:.1f} tokens/s" if ready.decode_tokens_per_s else ""
    doubt = "" if is_proved(ready) else ", its answer is plausible and not proved"
    await node.diary.write("ready", f"{live.name} answers on port {live.port}{rate}{doubt}", launch=live.name)
    live.say(Step.READY, f"{live.name} is ready{rate}{doubt}")


async def ended(node: Node, live: Live, outcome: str) -> None:
    """The engine of ``live`` is gone: nothing is promised to it, its run is closed."""
    run_id, live.run_id, live.process = live.run_id, None, None
    node.ledger.release(live.name)
    if run_id is not None:
        await close(node, run_id, outcome)


async def close(node: Node, run_id: int, outcome: str) -> None:
    """A run that can't be closed now is closed by the next start, which finds no such process."""
    try:
        await asyncio.to_thread(node.store.close_run, run_id, outcome)
    except StateError as error:
        log.warning("run not closed: id=%d %s", run_id, error)


async def take_port(node: Node, live: Live) -> int:
    """The port it had, so that clients find it again; else the first one that is free. It is ``live``'s
    from here on, whether its engine runs or is about to. Raises: BusyError."""
    async with node.choosing_port:
        others = [one for one in node.live.values() if one is not live and (one.task or one.process)]
        taken = {one.port for one in others if one.port}
        live.port = await asyncio.to_thread(_free_port, node, live.name, taken)
        return live.port


def _free_port(node: Node, name: str, taken: set[int]) -> int:
    last = node.store.last_port(name)
    first, final = node.settings.port_first, node.settings.port_last
    if last is not None and first <= last <= final and last not in taken and ports.is_free(last):
        return last
    return ports.free_port(first, final, taken=taken)
