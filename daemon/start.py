"""An engine from its command to its first answer, written down before and after."""

import asyncio
import logging
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from daemon.engine_check import read_back
from daemon.ledger import host_held_bytes
from daemon.live import Live
from daemon.node import Node
from daemon.records import Run
from domain.errors import StateError
from domain.launch import LaunchState, Step
from domain.plan import Plan
from launchers import ports
from launchers.base import Capabilities
from launchers.command import Command
from launchers.proc import Identity
from launchers.process import EngineProcess
from launchers.readiness import Ready

log = logging.getLogger(__name__)

PID_POLL_S = 0.02


async def start(node: Node, live: Live, plan: Plan, caps: Capabilities) -> None:
    """Starts the engine of ``plan``, waits for its known answer, reads back what it took.

    Raises: EngineError, BusyError."""
    live.become(LaunchState.STARTING)
    live.port = await asyncio.to_thread(free_port, node, live)
    command = node.rooms.launchers[plan.engine].command(plan, caps=caps, port=live.port, name=live.name)
    live.plan = replace(plan, argv=command.argv, env=command.env)
    live.run_id = await asyncio.to_thread(
        node.store.open_run, live.name, command, port=live.port, engine_version=caps.version
    )
    live.say(Step.START, f"starting {plan.engine} {caps.version or ''}".rstrip() + f" on {command.url}")
    live.process = new_process(node, plan, command, node.log_path(live.name))
    await _until_it_serves(node, live, live.process, caps)


async def taken_over(node: Node, live: Live) -> None:
    """An engine of the last daemon proves that it still answers. Raises: EngineError; it is ended then."""
    if live.process is None:
        raise RuntimeError(f"{live.name} has no process to take over")
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
        log_limit_bytes=node.settings.log_max_bytes,
    )


async def _until_it_serves(
    node: Node, live: Live, process: EngineProcess, caps: Capabilities | None = None
) -> None:
    """With ``caps``, of the build that was started, what it took is read back."""
    began = time.monotonic()
    try:
        ready = await _ready(node, live, process)
    except BaseException:  # cancelled, too: an engine that nobody waits for must not stay
        await process.stop()
        await ended(node, live, "did not come up")
        raise
    if caps is not None and live.plan is not None:
        live.plan = await read_back(node, live.plan, caps, process)
    log.info("ready: launch=%s port=%s after_s=%.1f", live.name, live.port, time.monotonic() - began)
    await serving(node, live, ready)


async def _ready(node: Node, live: Live, process: EngineProcess) -> Ready:
    """Its pid is written down as soon as there is one: from then on a later daemon can find it."""
    starting = asyncio.ensure_future(process.ensure_ready(node.settings.ready_timeout_s))
    try:
        while process.identity is None and not starting.done():
            await asyncio.wait({starting}, timeout=PID_POLL_S)
        if process.identity is not None and live.run_id is not None:
            await asyncio.to_thread(node.store.identify_run, live.run_id, process.identity)
            live.say(Step.CHECK, f"pid {process.pid}, waiting for a known answer")
        return await starting
    finally:
        starting.cancel()


async def serving(node: Node, live: Live, ready: Ready) -> None:
    """``live`` answers: settled in the ledger, told, written down."""
    live.ready, live.last_error = ready, None
    live.become(LaunchState.READY)
    if live.process is not None and live.process.pid is not None:
        held_bytes = await asyncio.to_thread(host_held_bytes, live.process.pid)
        node.ledger.settle(live.name, held_bytes)
    await asyncio.to_thread(node.store.save_launch, live.remembered())
    rate = f", {ready.decode_tokens_per_s:.1f} tokens/s" if ready.decode_tokens_per_s else ""
    await node.diary.write("ready", f"{live.name} answers on port {live.port}{rate}", launch=live.name)
    live.say(Step.READY, f"{live.name} is ready{rate}")


async def ended(node: Node, live: Live, outcome: str) -> None:
    """The engine of ``live`` is gone: nothing is promised to it, its run is closed. A run that can't be
    closed now is closed by the next start, which finds no such process."""
    run_id, live.run_id, live.process = live.run_id, None, None
    node.ledger.release(live.name)
    if run_id is None:
        return
    try:
        await asyncio.to_thread(node.store.close_run, run_id, outcome)
    except StateError as error:
        log.warning("run not closed: launch=%s %s", live.name, error)


def free_port(node: Node, live: Live) -> int:
    """The port it had, so that clients find it again; else the first one that is free. Blocks."""
    taken = {other.port for other in node.live.values() if other is not live and other.port and other.process}
    last = node.store.last_port(live.name)
    first, final = node.settings.port_first, node.settings.port_last
    if last is not None and first <= last <= final and last not in taken and ports.is_free(last):
        return last
    return ports.free_port(first, final, taken=taken)
