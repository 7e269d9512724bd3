"""The best command for a model on this machine, or on one that isn't here."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from catalog import names
from catalog.request import ModelRequest
from daemon.app import App
from daemon.machine import snapshot
from daemon.planning import suggestions
from daemon.planning.speed_history import calibration
from daemon.planning.verification import verify_plan, with_reason
from daemon.resources import ledger
from domain.errors import DoesNotFitError, EngineError, NodeError
from domain.hardware import Hardware
from domain.model import ResolvedModel
from domain.plan import VLLM, LaunchOptions, Plan
from domain.serialization import to_json
from domain.units import GIB, gib
from planner.choose import choose
from planner.machine.budget import Reserve
from planner.machine.calibration import Calibration
from planner.vllm.availability import may_use_gpus

log = logging.getLogger(__name__)


async def plan(app: App, model: str, wish: LaunchOptions, *, on: Hardware | None = None) -> Plan:
    """The plan that a launch would run now, or that the machine ``on`` would. Starts nothing that stays."""
    box = on or await cached_hardware(app)
    needed = resolve_models(app, model, wish, (box,), most_bytes=room_bytes(box))
    candidates, machine = await asyncio.gather(needed, _machine(app, on))
    if on is not None:
        chosen = await choose_plan(app, model, candidates, machine, wish, Calibration())
    else:
        known = await calibration(app, machine)
        chosen = await checked_plan(app, model, candidates, machine, wish, known)
    return await asyncio.to_thread(with_command, app, chosen, is_here=on is None)


async def cached_hardware(app: App) -> Hardware:
    """The machine as it was last seen: enough to know which weights are worth a look."""
    if app.hardware_cache.hardware is not None:
        return app.hardware_cache.hardware
    return await asyncio.to_thread(app.adapters.probe)


async def resolve_models(
    app: App,
    model: str,
    wish: LaunchOptions,
    machines: Sequence[Hardware],
    *,
    most_bytes: int | None = None,
) -> tuple[ResolvedModel, ...]:
    """What ``model`` names, for any engine that one of ``machines`` could run. Without a wished quality, of
    a repository's quants that are larger than ``most_bytes`` only the smallest: the others' headers are not
    fetched."""
    name = names.parse(model, app.catalogue)
    request = ModelRequest(
        name,
        engine=wish.engine,
        quality=wish.quality,
        most_bytes=None if wish.quality or wish.from_disk else most_bytes,
        offline=app.settings.offline,
    )

    def resolve(request: ModelRequest) -> tuple[ResolvedModel, ...]:
        return app.adapters.resolve(request, catalogue=app.catalogue, models_dir=app.settings.models_dir)

    def both() -> tuple[ResolvedModel, ...]:
        found = resolve(request)
        known = None if name.quant else names.lookup(name, app.catalogue)
        if wish.engine or not known or not known.vllm_repos or any(item.engine == VLLM for item in found):
            return found
        if not any(may_use_gpus(machine) for machine in machines):
            return found
        try:
            return (*found, *resolve(replace(request, engine=VLLM)))
        except NodeError as error:  # the plan for llama.cpp stands without it
            log.info("no weights for vLLM: model=%s why=%s", model, error)
            return found

    if isinstance(name.target, names.Local):  # nobody has to be asked for it
        return await asyncio.to_thread(both)
    return await asyncio.get_running_loop().run_in_executor(app.hub_threads, both)


def room_bytes(machine: Hardware) -> int | None:
    """All the memory that there is; None where some of it is not known."""
    totals = [machine.memory.total_bytes, *(gpu.memory_total_bytes for gpu in machine.gpus)]
    known = [total for total in totals if total]
    return sum(known) if len(known) == len(totals) else None


async def choose_plan(
    app: App,
    model: str,
    candidates: Sequence[ResolvedModel],
    machine: Hardware,
    wish: LaunchOptions,
    known: Calibration,
) -> Plan:
    """Raises: DoesNotFitError, whose hint names what would fit instead."""
    reserve = reserved(app)

    def think() -> Plan:
        try:
            return choose.plan(model, candidates, machine, wish, calibration=known, reserve=reserve)
        except DoesNotFitError as error:
            instead = suggestions.suggest(app, candidates, machine, wish, calibration=known, reserve=reserve)
            error.hint = "; ".join(part for part in (error.hint, instead) if part)
            raise

    return with_notes(await asyncio.to_thread(think), candidates)


def with_notes(plan: Plan, candidates: Sequence[ResolvedModel]) -> Plan:
    """``plan`` with a word on its weights: their licence, and when the hub told of them if not now."""
    chosen = next((one for one in candidates if one.weights == plan.weights), None)
    for note in chosen.notes if chosen else ():
        plan = with_reason(plan, note)
    if chosen is None or chosen.as_of is None:
        return plan
    return with_reason(
        plan,
        f"the hub could not be reached: {plan.weights.repo} is planned from its listing of {chosen.as_of}",
    )


async def checked_plan(
    app: App,
    model: str,
    candidates: Sequence[ResolvedModel],
    machine: Hardware,
    wish: LaunchOptions,
    known: Calibration,
) -> Plan:
    """The plan for this machine in its engine's own figures; chosen again where by those it does not
    fit. Raises: DoesNotFitError."""
    rules = await choose_plan(app, model, candidates, machine, wish, known)
    plan = await verify_plan(app, rules, candidates, machine)
    if plan.fits or not rules.fits:
        return plan
    more = {
        new.device: new.needed_bytes - old.needed_bytes
        for old, new in zip(rules.memory, plan.memory, strict=True)
        if new.needed_bytes > old.needed_bytes
    }
    smaller = await choose_plan(app, model, candidates, ledger.without(machine, more), wish, known)
    again = await verify_plan(app, _given_back(smaller, more), candidates, machine)
    if not again.fits:
        has_bytes = sum(row.free_bytes or 0 for row in again.memory)
        raise DoesNotFitError(model, needs_bytes=again.needed_bytes, has_bytes=has_bytes)
    excess = ", ".join(f"{gib(count_bytes)} more on {device}" for device, count_bytes in more.items())
    return with_reason(
        again, f"planned again: by the engine's figures the first plan needs {excess} than estimated"
    )


def _given_back(plan: Plan, taken: Mapping[str, int]) -> Plan:
    """``plan`` with the free memory that its devices have after all."""
    memory = tuple(
        replace(row, free_bytes=row.free_bytes + taken.get(row.device, 0)) if row.free_bytes else row
        for row in plan.memory
    )
    return replace(plan, memory=memory)


def with_command(app: App, plan: Plan, *, is_here: bool = False) -> Plan:
    """``plan`` with the command line its engine gets. Of another machine that is one of a build of today, by
    its plain name; of this one (``is_here``) too, where none can be asked: it then says how to get one.
    Blocks."""
    launcher = app.adapters.launchers[plan.engine]
    caps = launcher.assume()
    if is_here:
        try:
            caps = app.adapters.engine(plan.engine)
        except EngineError as error:  # a plan is an answer before its engine is here, too
            plan = with_reason(plan, f"{error}: {error.hint}")
    command = launcher.command(plan, caps=caps, port=app.settings.port_first, name=plan.model)
    return replace(plan, argv=command.argv, env=command.env)


def fingerprint(machine: Hardware, engine: str, version: str | None, path: str, wish: LaunchOptions) -> str:
    """Of all that a plan depends on and that outlives a reboot. Free memory is checked apart; of RAM
    whole GiB count: what a kernel keeps for itself changes with its version."""
    facts = (
        [(gpu.id, gpu.name, gpu.memory_total_bytes) for gpu in machine.gpus],
        [_whole_gib(machine.memory.total_bytes), machine.memory.cgroup_limit_bytes],
        [machine.cpu.model, machine.cpu.usable_cpus, machine.cpu.quota_cpus],
        [engine, version, path],
        to_json(wish),
    )
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _whole_gib(count_bytes: int | None) -> int | None:
    return None if count_bytes is None else round(count_bytes / GIB)


def reserved(app: App) -> Reserve:
    """The planner's own margins, but for those that the owner has set."""
    own = {"host_bytes": app.settings.host_reserve_bytes, "gpu_bytes": app.settings.gpu_margin_bytes}
    return Reserve(**{key: value for key, value in own.items() if value is not None})


async def _machine(app: App, on: Hardware | None) -> Hardware:
    if on is not None:
        return on
    return ledger.without(await snapshot.probe_now(app), app.ledger.reservations_beside("").device_bytes)
