"""The best command for a model on this machine, or on one that isn't here."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from catalog import names
from catalog.request import ModelRequest
from daemon.app import App
from daemon.machine import snapshot
from daemon.planning import builds, computations, context_proofs, verification
from daemon.planning.computations import Choice
from daemon.planning.draft_history import with_measured_drafts
from daemon.planning.loading import said_here
from daemon.planning.restrained import restrained
from daemon.planning.speed_history import load_calibration
from daemon.planning.verification import SecondFileRefusedError, verify_plan, with_reason
from daemon.resources import ledger
from domain.errors import (
    DoesNotFitError,
    EngineError,
    EngineRefusedError,
    NodeError,
    Refused,
    UnknownModelError,
    UsageError,
)
from domain.launches.plan import LLAMA_CPP, VLLM, Confidence, LaunchOptions, Plan
from domain.launches.restraint import UNRESTRAINED, Restraint
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel, Weights
from domain.serialization import to_json
from domain.units import GIB, gib
from launchers.base import Capabilities
from planner.machine.budget import Reserve
from planner.machine.calibration import Calibration
from planner.vllm.availability import may_use_gpus
from planner.vllm.ranks import most_weight_bytes

log = logging.getLogger(__name__)
MAX_OTHER_QUANTS = 3  # that are tried where an engine refuses one


@dataclass(frozen=True, slots=True)
class RefusedPlan:
    """The engine can't load ``weights``, and why."""

    error: EngineRefusedError
    weights: Weights


async def plan(app: App, model: str, options: LaunchOptions, *, on: Hardware | None = None) -> Plan:
    """The plan that a launch would run now, or would run on the machine ``on``. Reserves nothing."""
    box = on or await cached_hardware(app)
    needed = resolve_models(app, model, options, (box,), most_bytes=total_memory_bytes(box))
    candidates, machine = await asyncio.gather(needed, available_hardware(app, on))
    if on is not None:
        chosen = await choose_plan(app, model, candidates, machine, options, Calibration())
        if said := await said_here(app, model, candidates, chosen.weights, await cached_hardware(app)):
            chosen = with_reason(chosen, said)
    else:
        calibration = await load_calibration(app, machine)
        chosen = await checked_plan(app, model, candidates, machine, options, calibration)
    return await asyncio.to_thread(with_command, app, chosen, is_here=on is None)


async def cached_hardware(app: App) -> Hardware:
    """The last snapshot, however old, or a new one: enough to tell which weights can be served here."""
    if app.hardware_cache.hardware is not None:
        return app.hardware_cache.hardware
    return await asyncio.to_thread(app.adapters.probe)


async def resolve_models(
    app: App,
    model: str,
    options: LaunchOptions,
    machines: Sequence[Hardware],
    *,
    most_bytes: int | None = None,
    complete: bool = False,
) -> tuple[ResolvedModel, ...]:
    """The models that ``model`` names, for every engine that one of ``machines`` can run; ``complete``: with
    what the hub has beside those that are on this disk. Of quants that are larger than ``most_bytes`` only
    the smallest, unless ``options`` ask for a quality: the headers of the others are not fetched."""
    name = names.parse(model, app.catalogue)
    most_bytes = None if options.quality or options.from_disk else most_bytes
    request = ModelRequest(
        name, options.engine, options.quality, most_bytes, offline=app.settings.offline, complete=complete
    )
    resolved = await app.adapters.resolve(app.sources, request)
    entry = None if name.quant else names.lookup(name, app.catalogue)
    if (
        options.engine
        or not entry
        or not entry.vllm_repos
        or any(item.engine == VLLM for item in resolved)
        or not any(may_use_gpus(machine) for machine in machines)
    ):
        return resolved
    try:
        own = replace(request, engine=VLLM, most_bytes=most_weight_bytes(machines, request.most_bytes))
        return (*resolved, *await app.adapters.resolve(app.sources, own))
    except NodeError as error:  # the plan for llama.cpp stands without it
        log.info("no weights for vLLM: model=%s why=%s", model, error)
        return resolved


def total_memory_bytes(machine: Hardware) -> int | None:
    """RAM and the memory of all GPUs; None if the size of one is unknown."""
    totals = [machine.memory.total_bytes, *(gpu.memory_total_bytes for gpu in machine.gpus)]
    known = [total for total in totals if total]
    return sum(known) if len(known) == len(totals) else None


async def choose_plan(
    app: App,
    model: str,
    candidates: Sequence[ResolvedModel],
    machine: Hardware,
    options: LaunchOptions,
    calibration: Calibration,
) -> Plan:
    """Raises: DoesNotFitError, whose hint names a model that fits instead."""
    return await _choose(app, Choice(model, candidates, machine, options, calibration, margins(app)))


async def _choose(app: App, choice: Choice) -> Plan:
    what = f"planning {choice.model}"
    run = partial(app.adapters.workers.run, what, computations.choose_plan, limits=computations.PLANNING)
    plan = await run(choice, app.sources)
    smaller, reason = await context_proofs.smaller_choice(app, plan, choice)
    if smaller is not None:
        plan = await run(smaller, app.sources)
    return with_notes(with_reason(plan, reason) if reason else plan, choice.candidates)


def with_notes(plan: Plan, candidates: Sequence[ResolvedModel]) -> Plan:
    """``plan`` with the notes on its weights, such as their licence, and the age of a listing that the hub
    could not confirm."""
    chosen = next((model for model in candidates if model.weights == plan.weights), None)
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
    options: LaunchOptions,
    calibration: Calibration,
    restraint: Restraint = UNRESTRAINED,
) -> Plan:
    """The plan for this machine with the figures of its engine; chosen again if it does not fit by these. If
    the engine refuses the model: for another build of it that is installed, else with another quant.

    Raises: DoesNotFitError; EngineRefusedError if no build here loads the model."""
    candidates = await with_measured_drafts(app, candidates, machine)
    choice = Choice(model, candidates, machine, options, calibration, margins(app))
    choice = restrained(choice, restraint)
    first = await _fitting_plan(app, choice)
    if isinstance(first, Plan):
        return first
    caps = await asyncio.to_thread(app.adapters.engine, LLAMA_CPP)
    async for other in builds.others(app, caps):
        found = await _fitting_plan(
            app, replace(choice, machine=builds.machine_with(machine, other.path)), engine_path=other.path
        )
        if isinstance(found, Plan) and found.confidence is not Confidence.ESTIMATED:
            return with_reason(found, builds.chosen_reason(other, caps, first.error))
    return await _of_another_quant(app, choice, first, caps)


async def _of_another_quant(app: App, choice: Choice, first: RefusedPlan, caps: Capabilities) -> Plan:
    """Where only a file is refused. Raises: EngineRefusedError, that of ``first``, if no other helps."""
    left, refused, reasons = list(choice.candidates), first, list[str]()
    for _ in range(MAX_OTHER_QUANTS):
        left = [candidate for candidate in left if candidate.weights != refused.weights]
        reasons.append(f"{refused.weights.quant} was passed over: {refused.error.engine_output}")
        if refused.error.refused is not Refused.FILE or not left:
            break
        try:
            found = await _fitting_plan(app, replace(choice, candidates=left))
        except (DoesNotFitError, UnknownModelError, UsageError):
            break
        if isinstance(found, Plan):
            return replace(found, reasons=(*found.reasons, *reasons))
        refused = found
    quants = tuple(candidate.weights.quant for candidate in left if candidate.engine == LLAMA_CPP)
    raise builds.with_hint(app, first.error, caps, choice.model, quants)


async def _fitting_plan(app: App, choice: Choice, *, engine_path: str | None = None) -> Plan | RefusedPlan:
    """Without the files beside the model that the engine can't load, which the reasons name."""
    try:
        return await _checked_fitting_plan(app, choice, engine_path=engine_path)
    except SecondFileRefusedError as error:
        others = [verification.without_file(candidate, error.name) for candidate in choice.candidates]
        plan = await _fitting_plan(app, replace(choice, candidates=others), engine_path=engine_path)
        return with_reason(plan, str(error)) if isinstance(plan, Plan) else plan


async def _checked_fitting_plan(
    app: App, choice: Choice, *, engine_path: str | None = None
) -> Plan | RefusedPlan:
    estimated = replace(await _choose(app, choice), engine_path=engine_path)
    try:
        plan = await verify_plan(app, estimated, choice.candidates, choice.machine)
    except EngineRefusedError as error:
        return RefusedPlan(error, estimated.weights)
    if plan.fits or not estimated.fits:
        return plan
    more = {
        new.device: new.needed_bytes - old.needed_bytes
        for old, new in zip(estimated.memory, plan.memory, strict=True)
        if new.needed_bytes > old.needed_bytes
    }
    reduced = ledger.without(choice.machine, more)
    smaller = replace(await _choose(app, replace(choice, machine=reduced)), engine_path=engine_path)
    smaller = verification.with_free_memory_of(smaller, reduced, choice.machine)
    try:
        again = await verify_plan(app, smaller, choice.candidates, choice.machine)
    except EngineRefusedError as error:
        return RefusedPlan(error, smaller.weights)
    if not again.fits:
        has_bytes = sum(row.free_bytes or 0 for row in again.memory)
        raise DoesNotFitError(choice.model, needs_bytes=again.needed_bytes, has_bytes=has_bytes)
    excess = ", ".join(f"{gib(count_bytes)} more on {device}" for device, count_bytes in more.items())
    return with_reason(
        again, f"planned again: by the engine's figures the first plan needs {excess} than estimated"
    )


def with_command(app: App, plan: Plan, *, is_here: bool = False) -> Plan:
    """``plan`` with its command line. Blocks.

    It is that of the installed engine if the plan is for this machine (``is_here``). For another machine, or
    if none is installed, which is added to the reasons, it is that of a current build, by its plain name.
    """
    launcher = app.adapters.launchers[plan.engine]
    caps = launcher.assume()
    if is_here:
        try:
            caps = builds.engine_of(app, plan)
        except EngineError as error:  # a plan needs no installed engine
            plan = with_reason(plan, f"{error}: {error.hint}")
    command = launcher.command(plan, caps=caps, port=app.settings.port_first, name=plan.model)
    return replace(plan, argv=command.argv, env=command.env)


def fingerprint(
    machine: Hardware, engine: str, version: str | None, path: str, options: LaunchOptions
) -> str:
    """Identifies all that a plan depends on and that survives a reboot. Not free memory, which is compared
    when the plan is reused; RAM in whole GiB: what a kernel reserves of it changes with its version."""
    inputs = (
        [(gpu.id, gpu.name, gpu.memory_total_bytes) for gpu in machine.gpus],
        [_whole_gib(machine.memory.total_bytes), machine.memory.cgroup_limit_bytes],
        [machine.cpu.model, machine.cpu.usable_cpus, machine.cpu.quota_cpus],
        [engine, version, path],
        _chosen(options),
    )
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _chosen(options: LaunchOptions) -> object:
    """Without what an earlier version did not have, where it is as it was: its fingerprints stay valid."""
    later = ("use", "no_mmproj", "no_draft", "max_context", "min_context_tokens", "min_quality")
    return {name: value for name, value in to_json(options).items() if value or name not in later}


def _whole_gib(count_bytes: int | None) -> int | None:
    return None if count_bytes is None else round(count_bytes / GIB)


def margins(app: App) -> Reserve:
    """The memory that plans leave free: the settings', else the planner's defaults."""
    reserve, gpu_bytes = Reserve(app.settings.host_reserve_bytes), app.settings.gpu_margin_bytes
    return reserve if gpu_bytes is None else replace(reserve, gpu_bytes=gpu_bytes)


async def available_hardware(app: App, on: Hardware | None) -> Hardware:
    if on is not None:
        return on
    return ledger.without(await snapshot.probe_now(app), app.ledger.reservations_of_others("").device_bytes)
