"""The plans of several models on several machines, to choose a machine by."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from daemon.app import App
from daemon.planning.computations import PLANNING, Choice
from daemon.planning.loading import said_here
from daemon.planning.plan import cached_hardware, margins, resolve_models, with_command, with_notes
from daemon.planning.verification import with_reason
from domain.errors import DoesNotFitError, UsageError
from domain.hardware import Hardware
from domain.model import ResolvedModel, Weights
from domain.plan import LaunchOptions, Plan
from planner.machine.calibration import Calibration


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no plan. Bytes are ``None`` unless memory is what is missing."""

    code: str
    message: str
    hint: str
    needs_bytes: int | None = None
    has_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one machine: a plan or an error. ``power_limit_w`` is the machine's; ``engine_here`` what
    an engine of this machine says to the weights of the plan."""

    model: str
    profile: str
    plan: Plan | None = None
    error: Refusal | None = None
    power_limit_w: float | None = None
    engine_here: str = ""


async def compare(app: App, models: Sequence[str], boxes: Sequence[Hardware]) -> list[Row]:
    """All pairs, for each model the fastest first. Independent of the machine that runs this.

    Raises: the errors of ``resolve_models``, such as UnknownModelError."""
    rows: list[Row] = []
    for model in models:
        candidates = await resolve_models(app, model, LaunchOptions(), boxes)
        of_model = [await _row(app, model, candidates, box) for box in boxes]
        of_model = await _with_engines_here(app, model, candidates, of_model)
        rows += sorted(of_model, key=_tokens_per_s, reverse=True)
    return rows


async def _with_engines_here(
    app: App, model: str, candidates: Sequence[ResolvedModel], rows: Sequence[Row]
) -> list[Row]:
    """``rows`` of one model, each plan with what an engine of this machine says to its weights."""
    machine, said = await cached_hardware(app), dict[Weights, str]()
    told: list[Row] = []
    for row in rows:
        if row.plan is None:
            told.append(row)
            continue
        weights = row.plan.weights
        if weights not in said:
            said[weights] = await said_here(app, model, candidates, weights, machine)
        plan = with_reason(row.plan, said[weights]) if said[weights] else row.plan
        told.append(replace(row, plan=plan, engine_here=said[weights]))
    return told


async def _row(app: App, model: str, candidates: Sequence[ResolvedModel], box: Hardware) -> Row:
    name = box.name or "unnamed"
    choice = Choice(model, candidates, box, LaunchOptions(), Calibration(), margins(app))
    what = f"planning {model} for {name}"
    try:
        plan = await app.adapters.workers.run(what, Choice.plan, choice, limits=PLANNING)
    except DoesNotFitError as error:
        refusal = Refusal(error.code, str(error), error.hint, error.needs_bytes, error.has_bytes)
    except UsageError as error:
        refusal = Refusal(error.code, str(error), error.hint)
    else:
        plan = with_notes(await asyncio.to_thread(with_command, app, plan), candidates)
        return Row(model, name, plan, power_limit_w=box.power_limit_w)
    return Row(model, name, error=refusal, power_limit_w=box.power_limit_w)


def _tokens_per_s(row: Row) -> float:
    """Sorts an unknown speed after all known ones, and before models that don't fit."""
    if row.plan is None:
        return -1.0
    speed = row.plan.speed.decode_tokens_per_s
    return speed.expected if speed else 0.0
