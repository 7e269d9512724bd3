"""The plan of a launch: that of its last start if it still applies, else a new one. Reserves its memory."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from daemon.app import App
from daemon.launches.demand.memory import until_back
from daemon.launches.demand.room import held_by_others, idle_bytes, make_room, occupants
from daemon.launches.launch import Launch
from daemon.machine import snapshot
from daemon.planning import context_proofs
from daemon.planning.builds import engine_of
from daemon.planning.plan import cached_hardware, checked_plan, fingerprint, resolve_models
from daemon.planning.speed_history import load_calibration, with_speed
from daemon.planning.verification import with_reason
from daemon.resources import ledger
from daemon.resources.ledger import Reservations
from domain.anonymize import without_secrets
from domain.errors import DoesNotFitError
from domain.events import EventKind
from domain.launches.launch import Step
from domain.launches.plan import HOST, LaunchOptions, Plan
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel
from domain.units import gib, rate
from launchers.base import Capabilities
from planner.machine.calibration import Calibration

MOST_EVICTIONS = 8  # for one launch; then it is planned with what is free
WHAT_CHANGES = "the hardware, the engine, the weights on disk, the proven context or what memory allows"


@dataclass(frozen=True, slots=True)
class PlacedPlan:
    """A plan, its engine, and the machine it was made for; ``fingerprint`` identifies engine and machine."""

    plan: Plan
    caps: Capabilities
    machine: Hardware
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class AvailableHardware:
    """A snapshot less the reservations of other launches, and these reservations. ``idle_bytes``, by device,
    come back if those stop who are idle and on demand: plans may count on them."""

    machine: Hardware
    reservations: Reservations
    idle_bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def for_plan(self) -> Hardware:
        return ledger.without(self.machine, {device: -count for device, count in self.idle_bytes.items()})


async def place(app: App, launch: Launch) -> PlacedPlan:
    """The plan to serve ``launch`` with; its memory is reserved against other launches.

    No lock is held while it waits for the hub, the probes or the engine: if others reserve meanwhile, the
    plan is compared with a new snapshot, and made again if it does not fit any more.
    """
    available, placed = await _reused(app, launch)
    tries = 0
    if placed is None:
        launch.say(Step.RESOLVE, f"looking for {without_secrets(launch.request.model)}")
        hardware = await cached_hardware(app)
        models = await resolve_models(app, launch.request.model, launch.request.options, (hardware,))
        launch.say(Step.PROBE, "reading hardware and free memory")
        available = await _available_hardware(app, launch)
        placed = await _planned(app, launch, models, available)
        while not (
            await _has_room(app, launch, placed.plan, available)
            and app.ledger.admit(launch.name, placed.plan, available.reservations)
        ):
            tries += 1
            available = await _available_hardware(app, launch, with_idle=tries < MOST_EVICTIONS)
            if _short_device(placed.plan, available.for_plan) is not None:
                placed = await _planned(app, launch, models, available)
    return placed


async def _has_room(app: App, launch: Launch, plan: Plan, available: AvailableHardware) -> bool:
    """False where idle launches were stopped for it just now, or there is nobody left to stop: it is to be
    compared with a new snapshot."""
    if not available.idle_bytes:
        return True
    room = await make_room(app, launch, plan, available.machine)
    return not room.stop and _short_device(plan, available.machine) is None


async def _planned(
    app: App, launch: Launch, models: tuple[ResolvedModel, ...], available: AvailableHardware
) -> PlacedPlan:
    options = launch.request.options
    launch.say(Step.PLAN, "planning")
    if not launch.attempts.attended:
        options = await context_proofs.narrowed(app, options, launch.plan, available.machine)
    calibration = await load_calibration(app, available.machine)
    plan = await _chosen(app, launch, models, available, options, calibration)
    if launch.ladder.in_words is not None:
        plan = with_reason(plan, launch.ladder.in_words)
    caps = await asyncio.to_thread(engine_of, app, plan)
    command = app.adapters.launchers[plan.engine].command(
        plan, caps=caps, port=app.settings.port_first, name=launch.name
    )
    launch.say(Step.PLAN, summary(plan))
    if not launch.attempts.attended and launch.plan is not None and (changed := changes(launch.plan, plan)):
        message = f"new plan, because {WHAT_CHANGES} changed: {changed}"
        launch.say(Step.PLAN, message)
        await app.events.append(EventKind.REPLANNED, f"{launch.name}: {message}", launch=launch.name)
    current_fingerprint = fingerprint(
        available.machine, plan.engine, caps.version, caps.path, launch.request.options
    )
    plan = replace(plan, argv=command.argv, env=command.env)
    return PlacedPlan(plan, caps, available.machine, current_fingerprint)


async def _chosen(
    app: App,
    launch: Launch,
    models: tuple[ResolvedModel, ...],
    available: AvailableHardware,
    options: LaunchOptions,
    calibration: Calibration,
) -> Plan:
    """Raises: as ``checked_plan``; one that does not fit beside others names them."""
    model, restraint = launch.request.model, launch.ladder.restraint
    try:
        return await checked_plan(app, model, models, available.for_plan, options, calibration, restraint)
    except DoesNotFitError as error:
        if in_the_way := await held_by_others(app, launch):
            error.hint = f"{error.hint}; {in_the_way}" if error.hint else in_the_way
        raise


async def _reused(app: App, launch: Launch) -> tuple[AvailableHardware | None, PlacedPlan | None]:
    """The plan of the last start, if it was made for this machine, engine and request: a restart must not
    serve a smaller quant or context. Raises: DoesNotFitError if only free memory is missing and the launch is
    unattended, so that no owner could accept less."""
    plan = launch.plan
    if plan is None or not await asyncio.to_thread(_is_on_disk, plan):
        return None, None
    launch.say(Step.PROBE, "reading hardware and free memory")
    available = await _available_hardware(app, launch)
    caps = await asyncio.to_thread(engine_of, app, plan)
    current_fingerprint = fingerprint(
        available.machine, plan.engine, caps.version, caps.path, launch.request.options
    )
    if current_fingerprint != launch.fingerprint:
        return available, None
    tries = 0
    while True:
        device = _short_device(plan, available.machine)
        if available.idle_bytes and (await make_room(app, launch, plan, available.machine)).stop:
            tries += 1
            available = await _available_hardware(app, launch, with_idle=tries < MOST_EVICTIONS)
            continue
        if device is not None and launch.attempts.attended:
            return await _available_hardware(app, launch), None
        if device is not None:
            raise DoesNotFitError(
                launch.name,
                needs_bytes=next(row.needed_bytes for row in plan.memory if row.device == device),
                has_bytes=ledger.free_bytes(available.machine, device),
                instead=f"{device} had more free memory when it was planned: "
                + (await held_by_others(app, launch) or "stop what uses it now"),
            )
        if app.ledger.admit(launch.name, plan, available.reservations):
            break
        available = await _available_hardware(app, launch)
    launch.reuse("the plan of the last start")
    plan = await with_speed(app, plan, available.machine)
    launch.say(Step.PLAN, summary(plan))
    return available, PlacedPlan(plan, caps, available.machine, current_fingerprint)


def _short_device(plan: Plan, machine: Hardware) -> str | None:
    """The first device with less free memory than ``plan`` needs; ``None`` if there is none, as far as
    known."""
    for row in plan.memory:
        free_bytes = ledger.free_bytes(machine, row.device)
        is_mapped = row.device == HOST and not plan.fits  # read from disk, as --from-disk allows
        if free_bytes is not None and row.needed_bytes > free_bytes and not is_mapped:
            return row.device
    return None


async def _available_hardware(app: App, launch: Launch, *, with_idle: bool = True) -> AvailableHardware:
    if await snapshot.has_bandwidth(app) and "the measured RAM bandwidth" not in launch.reused:
        launch.reuse("the measured RAM bandwidth")
    if returning := ", ".join(app.ledger.returning):
        launch.say(Step.PROBE, f"waiting for the memory of {returning} to come back")
        await until_back(app)
    # before the snapshot: what is settled later may not show in it
    reservations = app.ledger.reservations_of_others(launch.name)
    machine = await snapshot.probe_awake(app)
    idle = idle_bytes(await occupants(app, launch)) if with_idle else {}
    return AvailableHardware(ledger.without(machine, reservations.device_bytes), reservations, idle)


def changes(old: Plan, new: Plan) -> str:
    """What an owner would notice: ``"quant Q4_0 (was Q8_0)"``. Empty if nothing."""
    pairs = (
        ("engine", old.engine, new.engine),
        ("quant", old.weights.quant, new.weights.quant),
        ("context", old.context_tokens, new.context_tokens),
        ("parallel", old.parallel, new.parallel),
        ("devices", _devices(old), _devices(new)),
    )
    return ", ".join(f"{what} {after} (was {before})" for what, before, after in pairs if before != after)


def _devices(plan: Plan) -> str:
    return "+".join(row.device for row in plan.memory if row.needed_bytes)


def summary(plan: Plan) -> str:
    """One line: engine, quant, context, memory per device, its confidence, speed."""
    where = ", ".join(f"{device.device} {gib(device.needed_bytes)}" for device in plan.memory)
    speed = plan.speed.decode_tokens_per_s
    mark = plan.speed.decode_source.mark
    tokens_per_s = f", about {rate(speed.expected)} tokens/s [{mark}]" if speed else ""
    what = f"{plan.engine}, {plan.weights.quant}, context {plan.context_tokens}"
    return f"{what}, {where} [{plan.confidence}]{tokens_per_s}"


def _is_on_disk(plan: Plan) -> bool:
    return plan.weights.first_path is not None and Path(plan.weights.first_path).exists()
