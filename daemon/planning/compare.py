"""The plans of several models on several machines, to choose a machine by."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from daemon.app import App
from daemon.planning.computations import COMPARING, Choice, plan_each
from daemon.planning.loading import said_here
from daemon.planning.plan import cached_hardware, margins, resolve_models, with_command, with_notes
from daemon.planning.verification import with_reason
from domain.errors import DoesNotFitError, UsageError
from domain.launches.plan import LaunchOptions, Plan
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel, Weights
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
        of_model = await _planned(app, model, candidates, boxes)
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


async def _planned(
    app: App, model: str, candidates: Sequence[ResolvedModel], boxes: Sequence[Hardware]
) -> list[Row]:
    """The rows in the order of ``boxes``, planned by a worker for each CPU."""
    choices = [Choice(model, candidates, box, LaunchOptions(), Calibration(), margins(app)) for box in boxes]
    count = max(1, min(len(choices), len(os.sched_getaffinity(0)), COMPARING.at_once))
    run = partial(app.adapters.workers.run, f"planning {model}", plan_each, limits=COMPARING)
    parts = await asyncio.gather(*(run(choices[first::count]) for first in range(count)))
    found = [parts[number % count][number // count] for number in range(len(choices))]
    return [await _row(app, choice, plan) for choice, plan in zip(choices, found, strict=True)]


async def _row(app: App, choice: Choice, found: Plan | DoesNotFitError | UsageError) -> Row:
    row = Row(choice.model, choice.machine.name or "unnamed", power_limit_w=choice.machine.power_limit_w)
    if isinstance(found, DoesNotFitError):
        return replace(
            row, error=Refusal(found.code, str(found), found.hint, found.needs_bytes, found.has_bytes)
        )
    if isinstance(found, UsageError):
        return replace(row, error=Refusal(found.code, str(found), found.hint))
    plan = await asyncio.to_thread(with_command, app, found)
    return replace(row, plan=with_notes(plan, choice.candidates))


def _tokens_per_s(row: Row) -> float:
    """Sorts an unknown speed after all known ones, and before models that don't fit."""
    if row.plan is None:
        return -1.0
    speed = row.plan.speed.decode_tokens_per_s
    return speed.expected if speed else 0.0
