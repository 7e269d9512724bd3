"""One launch, top to bottom. The API, the restore at a start and the supervisor all call ``launch``."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.launches.persistence import save
from daemon.launches.start import start
from daemon.launches.thread_tuning import with_tuned_threads
from daemon.machine import snapshot
from daemon.planning.plan import cached_hardware, checked_plan, fingerprint, resolve_models
from daemon.planning.speed_history import calibration, with_speed
from daemon.resources import ledger
from daemon.weights.ensure import ensure_downloaded
from domain.errors import DoesNotFitError
from domain.hardware import Hardware
from domain.launch import LaunchState, Step
from domain.plan import HOST, Plan
from domain.redact import without_secrets
from domain.units import gib, rate
from launchers.base import Capabilities


@dataclass(frozen=True, slots=True)
class PlacedPlan:
    """A plan, the engine for it, and the machine it was made for."""

    plan: Plan
    caps: Capabilities
    machine: Hardware


async def bring_up(app: App, launch: Launch) -> None:
    """Serves ``launch.request``: returns once its engine has given the known answer.

    The launch is desired from the moment it has a plan. Raises NodeError; then nothing of it runs, its
    memory is given back, and what ran before still runs.
    """
    launch.become(LaunchState.QUEUED)
    launch.reused = ()
    try:
        async with app.admission_lock:
            placed = await place(app, launch)
            app.ledger.reserve(launch.name, placed.plan)
        launch.plan, launch.kept = placed.plan, True
        launch.gpus = tuple(gpu.id for gpu in placed.machine.gpus)
        await save(app, launch)
        plan = await ensure_downloaded(app, launch, placed.plan)
        plan = await with_tuned_threads(app, launch, plan, placed.caps, placed.machine)
        launch.plan = plan
        await start(app, launch, plan, placed.caps)
    except BaseException:  # cancelled, too: memory that nobody holds must not stay promised
        if launch.process is None:
            app.ledger.release(launch.name)
        raise


async def place(app: App, launch: Launch) -> PlacedPlan:
    """Resolve, probe, plan, ask the engine. A plan that was made for this machine, engine and wish is kept
    as it is: a restart must not serve less than the start did."""
    if launch.plan is not None and await asyncio.to_thread(_on_disk, launch.plan):
        kept = await kept_plan(app, launch, launch.plan)
        if kept is not None:
            return kept
    wish = launch.request.wish
    launch.say(Step.RESOLVE, f"looking for {without_secrets(launch.request.model)}")
    candidates = await resolve_models(app, launch.request.model, wish, (await cached_hardware(app),))
    launch.say(Step.PROBE, "looking at the machine")
    machine = await _machine(app, launch)
    launch.say(Step.PLAN, "planning")
    known = await calibration(app, machine)
    plan = await checked_plan(app, launch.request.model, candidates, machine, wish, known)
    caps = await asyncio.to_thread(app.adapters.engine, plan.engine)
    launch.fingerprint = fingerprint(machine, plan.engine, caps.version, caps.path, wish)
    command = app.adapters.launchers[plan.engine].command(
        plan, caps=caps, port=app.settings.port_first, name=launch.name
    )
    launch.say(Step.PLAN, summary(plan))
    if launch.kept and launch.plan is not None and (less := changed(launch.plan, plan)):
        said = f"planned anew, the machine or the engine is another: {less}"
        launch.say(Step.PLAN, said)
        await app.events.append("replanned", f"{launch.name} is {said}", launch=launch.name)
    return PlacedPlan(replace(plan, argv=command.argv, env=command.env), caps, machine)


async def kept_plan(app: App, launch: Launch, plan: Plan) -> PlacedPlan | None:
    """The stored plan, if it still holds. Raises: DoesNotFitError for a desired launch where only free
    memory is missing: nobody is there to agree to less."""
    launch.say(Step.PROBE, "looking at the machine")
    machine = await _machine(app, launch)
    caps = await asyncio.to_thread(app.adapters.engine, plan.engine)
    if fingerprint(machine, plan.engine, caps.version, caps.path, launch.request.wish) != launch.fingerprint:
        return None
    for device in plan.memory:
        free_bytes = ledger.free_bytes(machine, device.device)
        is_mapped = device.device == HOST and not plan.fits  # from disk, as asked
        if free_bytes is not None and device.needed_bytes > free_bytes and not is_mapped:
            if not launch.kept:
                return None
            raise DoesNotFitError(
                launch.name,
                needs_bytes=device.needed_bytes,
                has_bytes=free_bytes,
                instead=f"it was planned when {device.device} had more free; stop what took it",
            )
    launch.reused = (*launch.reused, "the plan of the last start")
    plan = await with_speed(app, plan, machine)
    launch.say(Step.PLAN, summary(plan))
    return PlacedPlan(plan, caps, machine)


def changed(old: Plan, new: Plan) -> str:
    """What an owner would notice of another plan, in words; empty where nothing is."""
    pairs = (
        ("engine", old.engine, new.engine),
        ("quant", old.weights.quant, new.weights.quant),
        ("context", old.context_tokens, new.context_tokens),
        ("parallel", old.parallel, new.parallel),
        ("on", _devices(old), _devices(new)),
    )
    return ", ".join(f"{what} {after} after {before}" for what, before, after in pairs if before != after)


def _devices(plan: Plan) -> str:
    return "+".join(row.device for row in plan.memory if row.needed_bytes)


def summary(plan: Plan) -> str:
    """One line: engine, quant, context, where it lies and how sure that is, how fast."""
    where = ", ".join(f"{device.device} {gib(device.needed_bytes)}" for device in plan.memory)
    speed = plan.speed.decode_tokens_per_s
    pace = f", about {rate(speed.expected)} tokens/s" if speed else ""
    what = f"{plan.engine}, {plan.weights.quant}, context {plan.context_tokens}"
    return f"{what}, {where} ({plan.confidence}){pace}"


def _on_disk(plan: Plan) -> bool:
    return plan.weights.first_path is not None and Path(plan.weights.first_path).exists()


async def _machine(app: App, launch: Launch) -> Hardware:
    if await snapshot.measured_before(app):
        launch.reused = (*launch.reused, "the measured RAM bandwidth")
    return ledger.without(await snapshot.probe_now(app), app.ledger.others(launch.name))
