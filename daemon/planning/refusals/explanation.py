"""Explains a model that does not fit, where an owner asked for that: it takes longer than the refusal."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from catalog import names
from config.data import profile, profile_names
from daemon.app import App
from daemon.isolation.models import ModelSources
from daemon.isolation.workers import Limits
from daemon.planning.computations import Choice
from daemon.planning.plan import available_hardware, margins, plan, resolve_models
from daemon.planning.refusals import suggestions
from daemon.planning.speed_history import load_calibration
from domain.errors import DoesNotFitError, NodeError
from domain.launches.plan import LaunchOptions, Plan
from domain.launches.shortfall import Shortfall
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel
from planner.choose.choose import USABLE_LOSS, competing
from planner.choose.context import SearchContext
from planner.choose.quality import loss
from planner.explain.sleeping import sleeping_notes
from planner.machine.calibration import Calibration
from planner.shortfall import devices
from planner.shortfall.machines import holding
from planner.shortfall.ways_out import from_disk, ways_out

EXPLAINING = Limits(deadline_s=100.0, cpu_s=80, at_once=2)


async def explained_plan(app: App, model: str, options: LaunchOptions, *, on: Hardware | None = None) -> Plan:
    """As ``plan``. Raises: as ``plan``; a DoesNotFitError with its ``shortfall``."""
    try:
        return await plan(app, model, options, on=on)
    except DoesNotFitError as error:
        error.shortfall = await _shortfall(app, model, options, on)
        raise


async def _shortfall(app: App, model: str, options: LaunchOptions, on: Hardware | None) -> Shortfall:
    machine, boxes = await asyncio.gather(available_hardware(app, on), asyncio.to_thread(_profiles))
    known = await _every_quant(app, model, options, boxes)
    calibration = Calibration() if on is not None else await load_calibration(app, machine)
    asked = replace(options, quality=options.quality or names.parse(model, app.catalogue).quant)
    choice = Choice(model, known, machine, asked, calibration, margins(app))
    run = partial(app.adapters.workers.run, f"explaining {model}", explain, limits=EXPLAINING)
    return await run(choice, app.sources, boxes)


def _profiles() -> list[Hardware]:
    """Blocks."""
    return [profile(name) for name in profile_names()]


async def _every_quant(
    app: App, model: str, options: LaunchOptions, boxes: Sequence[Hardware]
) -> tuple[ResolvedModel, ...]:
    """Of every engine; what was asked for alone if the rest can't be read."""
    name = names.parse(model, app.catalogue)
    whole = model.replace(f":{name.quant}", "", 1) if name.quant else model
    try:
        return await resolve_models(app, whole, replace(options, quality=None, engine=None), boxes)
    except NodeError:
        return await resolve_models(app, model, options, boxes)


def explain(choice: Choice, sources: ModelSources, others: Sequence[Hardware]) -> Shortfall:
    """Raises: as ``choose.plan``."""
    name, models = choice.model, choice.candidates
    search = SearchContext(choice.machine, choice.options, choice.calibration, choice.reserve)
    found, wanted = competing(name, models, search)
    smallest = min(found.selectable, key=lambda model: model.weights.size_bytes)
    usable = [model for model in found.selectable if loss(model) <= USABLE_LOSS] or [smallest]
    missing_bytes = devices.missing_bytes(smallest, wanted, search)
    return Shortfall(
        short=tuple(devices.describe(smallest, wanted, search, is_smallest=len(found.selectable) > 1)),
        instead=(
            *sleeping_notes(choice.machine),
            *ways_out(name, models, search),
            *from_disk(found.selectable, wanted, search),
            *_other_models(choice, sources),
        ),
        holds=tuple(holding(name, usable, missing_bytes, search, others)),
    )


def _other_models(choice: Choice, sources: ModelSources) -> tuple[str, ...]:
    return suggestions.suggest_several(
        sources.resolve,
        sources.catalogue,
        choice.model,
        choice.candidates,
        choice.machine,
        choice.options,
        calibration=choice.calibration,
        reserve=choice.reserve,
    )
