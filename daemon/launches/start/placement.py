"""Where a launch goes: the plan of its last start if it still holds, else a new one. Reserves its memory."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.machine import snapshot
from daemon.planning.plan import cached_hardware, checked_plan, fingerprint, resolve_models
from daemon.planning.speed_history import calibration, with_speed
from daemon.resources import ledger
from daemon.resources.ledger import Reservations
from domain.anonymize import without_secrets
from domain.errors import DoesNotFitError
from domain.hardware import Hardware
from domain.launch import Step
from domain.model import ResolvedModel
from domain.plan import HOST, Plan
from domain.units import gib, rate
from launchers.base import Capabilities


@dataclass(frozen=True, slots=True)
class PlacedPlan:
    """A plan, the engine for it, and the machine it was made for: ``fingerprint`` is of both."""

    plan: Plan
    caps: Capabilities
    machine: Hardware
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """The machine with what others have reserved of it taken off, and those reservations."""

    machine: Hardware
    reservations: Reservations


async def place(app: App, launch: Launch) -> PlacedPlan:
    """The plan to serve ``launch`` by; its memory is reserved, so that no other launch is given the same.

    Nothing is locked while it waits for the hub, the probes or the engine: if others reserve meanwhile, the
    plan is compared with a fresh look, and made again where it does not fit any more.
    """
    look, placed = await _reused(app, launch)
    if placed is None:
        launch.say(Step.RESOLVE, f"looking for {without_secrets(launch.request.model)}")
        hardware = await cached_hardware(app)
        models = await resolve_models(app, launch.request.model, launch.request.options, (hardware,))
        launch.say(Step.PROBE, "looking at the machine")
        look = await _look(app, launch)
        placed = await _planned(app, launch, models, look)
        while not app.ledger.admit(launch.name, placed.plan, look.reservations):
            look = await _look(app, launch)
            if _lacking_device(placed.plan, look.machine) is not None:
                placed = await _planned(app, launch, models, look)
    return placed


async def _planned(app: App, launch: Launch, models: tuple[ResolvedModel, ...], look: Look) -> PlacedPlan:
    options = launch.request.options
    launch.say(Step.PLAN, "planning")
    known = await calibration(app, look.machine)
    plan = await checked_plan(app, launch.request.model, models, look.machine, options, known)
    caps = await asyncio.to_thread(app.adapters.engine, plan.engine)
    command = app.adapters.launchers[plan.engine].command(
        plan, caps=caps, port=app.settings.port_first, name=launch.name
    )
    launch.say(Step.PLAN, summary(plan))
    if not launch.attempts.attended and launch.plan is not None and (less := changes(launch.plan, plan)):
        message = f"planned anew, the machine or the engine is another: {less}"
        launch.say(Step.PLAN, message)
        await app.events.append("replanned", f"{launch.name} is {message}", launch=launch.name)
    made_for = fingerprint(look.machine, plan.engine, caps.version, caps.path, options)
    plan = replace(plan, argv=command.argv, env=command.env)
    return PlacedPlan(plan, caps, look.machine, made_for)


async def _reused(app: App, launch: Launch) -> tuple[Look | None, PlacedPlan | None]:
    """The plan of the last start, if it was made for this machine, engine and request: a restart must not
    serve less than the start did. Raises: DoesNotFitError where only free memory is missing and nobody is
    there to agree to less."""
    plan = launch.plan
    if plan is None or not await asyncio.to_thread(_is_on_disk, plan):
        return None, None
    launch.say(Step.PROBE, "looking at the machine")
    look = await _look(app, launch)
    caps = await asyncio.to_thread(app.adapters.engine, plan.engine)
    made_for = fingerprint(look.machine, plan.engine, caps.version, caps.path, launch.request.options)
    if made_for != launch.fingerprint:
        return look, None
    while True:
        device = _lacking_device(plan, look.machine)
        if device is not None and launch.attempts.attended:
            return look, None
        if device is not None:
            raise DoesNotFitError(
                launch.name,
                needs_bytes=next(row.needed_bytes for row in plan.memory if row.device == device),
                has_bytes=ledger.free_bytes(look.machine, device),
                instead=f"it was planned when {device} had more free; stop what took it",
            )
        if app.ledger.admit(launch.name, plan, look.reservations):
            break
        look = await _look(app, launch)
    launch.reuse("the plan of the last start")
    plan = await with_speed(app, plan, look.machine)
    launch.say(Step.PLAN, summary(plan))
    return look, PlacedPlan(plan, caps, look.machine, made_for)


def _lacking_device(plan: Plan, machine: Hardware) -> str | None:
    """The first device with less free than ``plan`` needs; ``None`` where all have enough, or don't say."""
    for row in plan.memory:
        free_bytes = ledger.free_bytes(machine, row.device)
        is_mapped = row.device == HOST and not plan.fits  # from disk, as asked
        if free_bytes is not None and row.needed_bytes > free_bytes and not is_mapped:
            return row.device
    return None


async def _look(app: App, launch: Launch) -> Look:
    if await snapshot.has_bandwidth(app) and "the measured RAM bandwidth" not in launch.reused:
        launch.reuse("the measured RAM bandwidth")
    reservations = app.ledger.reservations_beside(
        launch.name
    )  # before the probe: what is settled later shows
    machine = await snapshot.probe_now(app)
    return Look(ledger.without(machine, reservations.device_bytes), reservations)


def changes(old: Plan, new: Plan) -> str:
    """What an owner would notice of another plan; empty where nothing is."""
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
    """One line: engine, quant, context, memory per device and how sure that is, speed."""
    where = ", ".join(f"{device.device} {gib(device.needed_bytes)}" for device in plan.memory)
    speed = plan.speed.decode_tokens_per_s
    tokens_per_s = f", about {rate(speed.expected)} tokens/s" if speed else ""
    what = f"{plan.engine}, {plan.weights.quant}, context {plan.context_tokens}"
    return f"{what}, {where} ({plan.confidence}){tokens_per_s}"


def _is_on_disk(plan: Plan) -> bool:
    return plan.weights.first_path is not None and Path(plan.weights.first_path).exists()
