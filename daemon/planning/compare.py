"""The plans of several models on several machines, to choose a machine by."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.app import App
from daemon.planning.computations import PLANNING, Choice
from daemon.planning.plan import margins, resolve_models, with_command, with_notes
from domain.errors import DoesNotFitError, UsageError
from domain.hardware import Hardware
from domain.model import ResolvedModel
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
    """One model on one machine: a plan or an error. ``power_limit_w`` is the machine's."""

    model: str
    profile: str
    plan: Plan | None = None
    error: Refusal | None = None
    power_limit_w: float | None = None


async def compare(app: App, models: Sequence[str], boxes: Sequence[Hardware]) -> list[Row]:
    """All pairs, for each model the fastest first. Independent of the machine that runs this.

    Raises: the errors of ``resolve_models``, such as UnknownModelError."""
    rows: list[Row] = []
    for model in models:
        candidates = await resolve_models(app, model, LaunchOptions(), boxes)
        of_model = [await _row(app, model, candidates, box) for box in boxes]
        rows += sorted(of_model, key=_tokens_per_s, reverse=True)
    return rows


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
