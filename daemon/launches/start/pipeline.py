"""One launch, top to bottom, in ``bring_up``: from a name to an engine that answers.

The API's new launch, the restore at a start and the supervisor's next try all come here.
"""

import asyncio
import logging
import time
from dataclasses import replace

from daemon.app import App
from daemon.launches import persistence
from daemon.launches.conversations.opening import open_conversations, with_saving
from daemon.launches.launch import Launch
from daemon.launches.start.answer_check import is_proved
from daemon.launches.start.draft_trial import draft_pays
from daemon.launches.start.engine import choose_port, start_engine, wait_until_ready
from daemon.launches.start.placement import PlacedPlan, place
from daemon.launches.start.thread_tuning import with_tuned_threads
from daemon.launches.start.weights import ensure_downloaded
from daemon.launches.state_machine import Event
from daemon.planning import context_proofs
from daemon.planning.speed_history import record_speed
from daemon.planning.verification import read_back
from domain.events import EventKind
from domain.launches.launch import Step
from domain.launches.plan import Plan
from launchers.process.procfs import held_bytes
from launchers.readiness import Ready

log = logging.getLogger(__name__)


async def bring_up(app: App, launch: Launch) -> None:
    """Serves ``launch.request``: returns once its engine has answered the test question.

    Raises: NodeError. Then, or when it is cancelled, the supervisor ends what runs and releases what is
    reserved.
    """
    launch.reused = ()
    placed, plan = await _prepared(app, launch)
    if not await draft_pays(app, launch, plan, placed):
        launch.fingerprint = None  # planned again, without the draft
        placed, _ = await _prepared(app, launch)
    ready = await _start(app, launch, placed)
    await open_conversations(app, launch)
    if launch.conversations is not None and (count := await launch.conversations.restore_all()):
        one = "a conversation" if count == 1 else f"{count} conversations"
        launch.say(Step.CHECK, f"restored {one}")
    await _serve(app, launch, ready)


async def _prepared(app: App, launch: Launch) -> tuple[PlacedPlan, Plan]:
    """Its plan, with the weights on this disk and the threads tried."""
    placed = await place(app, launch)  # reserves its memory
    launch.plan, launch.fingerprint = placed.plan, placed.fingerprint
    launch.gpu_ids = tuple(gpu.id for gpu in placed.machine.gpus)
    await persistence.save(app, launch)
    plan = await ensure_downloaded(app, launch, placed.plan)
    launch.plan = plan = await with_tuned_threads(app, launch, plan, placed.caps, placed.machine)
    return placed, plan


async def take_over(app: App, launch: Launch) -> None:
    """Adopts an engine of the previous daemon, if it still answers. Raises: EngineError."""
    if launch.engine is None:
        raise RuntimeError(f"{launch.name} has no engine to take over")
    launch.apply(Event.START)
    launch.port = launch.engine.port
    launch.say(Step.START, "adopting the engine that the previous daemon started")
    launch.reused = ("the running engine",)
    ready = await wait_until_ready(app, launch, launch.engine)
    await open_conversations(app, launch)
    await _serve(app, launch, ready)
    busy = "; its clients keep it busy, so it is asked the test question later" if ready.unchecked else ""
    await app.events.append(
        EventKind.ADOPTED,
        f"{launch.name}: its engine kept running without a daemon and was adopted{busy}",
        launch=launch.name,
    )


async def _start(app: App, launch: Launch, placed: PlacedPlan) -> Ready:
    """Starts the engine of ``launch.plan`` and reads back how much memory it took."""
    plan, caps = launch.plan or placed.plan, placed.caps
    await app.in_flight.begin(launch.key, f"starting the engine of {launch.name}", keeps_turn=False)
    launch.apply(Event.START)
    port = await choose_port(app, launch)
    command = app.adapters.launchers[plan.engine].command(plan, caps=caps, port=port, name=launch.name)
    env = command.env
    command = await with_saving(app, launch, command, caps)
    launch.plan = replace(plan, argv=command.argv, env=env)
    engine = " ".join(part for part in (plan.engine, caps.version) if part)
    launch.say(Step.START, f"starting {engine} on {command.url}")
    began, before = time.monotonic(), await asyncio.to_thread(app.adapters.cpu_pressure)
    ready = await start_engine(app, launch, launch.plan, command, engine_version=caps.version)
    after = await asyncio.to_thread(app.adapters.cpu_pressure)
    if launch.process is not None:
        launch.plan = await read_back(app, launch.plan, caps, launch.process)
    share = after.stalled_share(before) if before and after else None
    await record_speed(app, launch.plan, ready, caps, stalled_share=share)
    log.info("ready: launch=%s port=%s after_s=%.1f", launch.name, port, time.monotonic() - began)
    return ready


async def _serve(app: App, launch: Launch, ready: Ready) -> None:
    """The engine answers: settles its reservation, then stores and reports the launch."""
    launch.ready, launch.attempts.last_error, launch.replaced = ready, None, None
    if launch.pid is not None:
        app.ledger.settle(launch.name, await asyncio.to_thread(held_bytes, launch.pid))
    launch.proof = None if launch.plan is None else await context_proofs.recall(app, launch.plan)
    launch.use.loaded(asyncio.get_running_loop().time())
    launch.apply(Event.ANSWER)
    app.in_flight.end(launch.key)
    await persistence.save(app, launch)
    rate = f", {ready.decode_tokens_per_s:.1f} tokens/s" if ready.decode_tokens_per_s else ""
    doubt = "" if is_proved(ready) else ", its answer is plausible but not proved"
    await app.events.append(
        EventKind.READY, f"{launch.name} answers on port {launch.port}{rate}{doubt}", launch=launch.name
    )
    launch.say(Step.READY, f"{launch.name} is ready{rate}{doubt}")
