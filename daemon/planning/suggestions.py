"""What would fit instead of a model that does not: one sentence for a hint."""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from catalog import names
from catalog.request import ModelRequest
from daemon.app import App
from daemon.resources import ledger
from domain.catalogue_types import KnownModel
from domain.errors import NodeError
from domain.hardware import Hardware
from domain.model import ResolvedModel
from domain.plan import HOST, LaunchOptions, Plan
from domain.units import rate
from planner.choose import choose, quality
from planner.machine.budget import Reserve
from planner.machine.calibration import Calibration

log = logging.getLogger(__name__)

TRIES = 6  # most often the first is it; a plan is a tenth of a second, of a large model half of one


def suggest(
    app: App,
    asked: Sequence[ResolvedModel],
    machine: Hardware,
    wish: LaunchOptions,
    *,
    calibration: Calibration,
    reserve: Reserve,
) -> str:
    """The model that fits and can be read along: of the same family before others, the larger before the
    smaller. None among the first few: the fastest of these; empty if nothing fits. Asks no network:
    rebuilt shapes are enough."""
    wish = replace(wish, quality=None, engine=None)  # its words are about another model's files
    fastest: Plan | None = None
    for model in promising(app.catalogue.values(), families(asked), machine)[:TRIES]:
        plan = _planned(app, model, machine, wish, calibration, reserve)
        if plan is None:
            continue
        if _rate(plan) >= choose.READING_TOKENS_PER_S:
            return _words(plan)
        if fastest is None or _rate(plan) > _rate(fastest):
            fastest = plan
    return _words(fastest) if fastest else ""


def families(candidates: Sequence[ResolvedModel]) -> frozenset[str]:
    return frozenset(one.shape.architecture for one in candidates)


def promising(models: Iterable[KnownModel], family: frozenset[str], machine: Hardware) -> list[KnownModel]:
    """Those whose smallest quant could lie here, the ones worth a plan first."""
    devices = (HOST, *(f"GPU{index}" for index in range(len(machine.gpus))))
    room_bytes = sum(ledger.free_bytes(machine, device) or 0 for device in devices)
    small = [model for model in models if model.quants and smallest_bytes(model) < room_bytes]

    def order(model: KnownModel) -> tuple[bool, bool, float]:
        most = most_tokens_per_s(model, machine)
        if most < choose.READING_TOKENS_PER_S:
            return True, False, -most
        return False, model.architecture not in family, -(model.parameters or 0)

    return sorted(small, key=order)


def smallest_bytes(model: KnownModel) -> int:
    return min(quant.size_bytes for quant in model.quants)


def most_tokens_per_s(model: KnownModel, machine: Hardware) -> float:
    """No decode is faster than the fastest memory reads the active weights; infinite where unknown."""
    rates = [machine.memory.bandwidth_bytes_per_s, *(gpu.bandwidth_bytes_per_s for gpu in machine.gpus)]
    known = [rate for rate in rates if rate]
    if not known or not model.parameters or not model.active_parameters:
        return math.inf
    return max(known) / (smallest_bytes(model) * model.active_parameters / model.parameters)


def _planned(
    app: App,
    model: KnownModel,
    machine: Hardware,
    wish: LaunchOptions,
    calibration: Calibration,
    reserve: Reserve,
) -> Plan | None:
    """``None`` where it does not fit in a quant that still answers well, or is known to the network alone."""
    try:
        request = ModelRequest(names.parse(model.alias), offline=True)
        candidates = app.adapters.resolve(
            request, catalogue=app.catalogue, models_dir=app.settings.models_dir
        )
        usable = [one for one in candidates if quality.loss(one) <= choose.USABLE_LOSS]
        if not usable:
            return None
        return choose.plan(model.alias, usable, machine, wish, calibration=calibration, reserve=reserve)
    except NodeError:
        return None
    except Exception:  # a bug in planning one model must not take the answer about another
        log.exception("no suggestion: model=%s", model.alias)
        return None


def _rate(plan: Plan) -> float:
    """Not known counts as fast enough: no plan of this machine has a speed then."""
    speed = plan.speed.decode_tokens_per_s
    return speed.expected if speed else math.inf


def _words(plan: Plan) -> str:
    speed = plan.speed.decode_tokens_per_s
    pace = f", about {rate(speed.expected)} tokens/s" if speed else ""
    return f"{plan.model} ({plan.weights.quant}{pace}) would fit"
