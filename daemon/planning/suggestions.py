"""Suggests a model that fits in place of one that does not."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from catalog import names
from catalog.request import ModelRequest
from daemon.resources import ledger
from domain.errors import NodeError
from domain.launches.plan import HOST, LaunchOptions
from domain.machine.hardware import Hardware
from domain.models.catalogue_types import KnownModel
from domain.models.model import ResolvedModel
from domain.units import rate
from planner.choose import choose, quality
from planner.choose.candidates import Candidate
from planner.choose.context import READING_TOKENS_PER_S
from planner.machine.budget import Reserve
from planner.machine.calibration import Calibration

log = logging.getLogger(__name__)

Resolve = Callable[[ModelRequest], tuple[ResolvedModel, ...]]

MAX_PLANS = 6  # usually the first one fits


def suggest(
    resolve: Resolve,
    catalogue: Mapping[str, KnownModel],
    refused: Sequence[ResolvedModel],
    machine: Hardware,
    options: LaunchOptions,
    *,
    calibration: Calibration,
    reserve: Reserve,
) -> str:
    """A sentence for a hint, empty if nothing fits: the first model that fits and is as fast as one reads,
    else the fastest of those that were planned. Uses no network: the catalogue's shapes are enough."""
    options = replace(options, quality=None, engine=None)  # they were about another model's files
    fastest: tuple[str, Candidate] | None = None
    for model in rank_models(catalogue.values(), families(refused), machine)[:MAX_PLANS]:
        best = _best_of(resolve, model, machine, options, calibration, reserve)
        if best is None:
            continue
        if _tokens_per_s(best) >= READING_TOKENS_PER_S:
            return _describe(model.alias, best)
        if fastest is None or _tokens_per_s(best) > _tokens_per_s(fastest[1]):
            fastest = model.alias, best
    return _describe(*fastest) if fastest else ""


def families(candidates: Sequence[ResolvedModel]) -> frozenset[str]:
    return frozenset(candidate.shape.architecture for candidate in candidates)


def rank_models(
    models: Iterable[KnownModel], preferred: frozenset[str], machine: Hardware
) -> list[KnownModel]:
    """Those whose smallest quant fits in free memory, in the order to plan them: fast enough to read before
    slower ones, ``preferred`` architectures before others, larger ones before smaller ones."""
    devices = (HOST, *(f"GPU{index}" for index in range(len(machine.gpus))))
    free_bytes = sum(ledger.free_bytes(machine, device) or 0 for device in devices)
    sized = {model.alias: size for model in models if (size := smallest_bytes(model)) is not None}
    small = [model for model in models if sized.get(model.alias, free_bytes) < free_bytes]

    def order(model: KnownModel) -> tuple[bool, bool, float]:
        fastest_tokens_per_s = max_tokens_per_s(model, machine)
        if fastest_tokens_per_s < READING_TOKENS_PER_S:
            return True, False, -fastest_tokens_per_s
        return False, model.architecture not in preferred, -(model.parameters or 0)

    return sorted(small, key=order)


def smallest_bytes(model: KnownModel) -> int | None:
    """``None`` if no published size is known."""
    sizes = (quant.size_bytes for quant in model.quants)
    return min((size for size in sizes if size is not None), default=None)


def max_tokens_per_s(model: KnownModel, machine: Hardware) -> float:
    """The bound if the fastest memory reads the active weights once per token. Infinite if unknown."""
    rates = [machine.memory.bandwidth_bytes_per_s, *(gpu.bandwidth_bytes_per_s for gpu in machine.gpus)]
    known = [rate for rate in rates if rate]
    size_bytes = smallest_bytes(model)
    if not known or not size_bytes or not model.parameters or not model.active_parameters:
        return math.inf
    return max(known) / (size_bytes * model.active_parameters / model.parameters)


def _best_of(
    resolve: Resolve,
    model: KnownModel,
    machine: Hardware,
    options: LaunchOptions,
    calibration: Calibration,
    reserve: Reserve,
) -> Candidate | None:
    """``None`` if no quant of acceptable loss fits, if its shape is not in the catalogue, or if it generates
    no text."""
    try:
        request = ModelRequest(names.parse(model.alias), offline=True)
        candidates = resolve(request)
        usable = [
            candidate
            for candidate in candidates
            if not candidate.weights.kind.is_pooled and quality.loss(candidate) <= choose.USABLE_LOSS
        ]
        if not usable:
            return None
        return choose.find_best(
            model.alias, usable, machine, options, calibration=calibration, reserve=reserve
        )
    except NodeError:
        return None
    except Exception:  # a bug in planning one model must not hide the error about another
        log.exception("no suggestion: model=%s", model.alias)
        return None


def _tokens_per_s(candidate: Candidate) -> float:
    """Unknown counts as fast enough: then no plan on this machine has a speed."""
    return candidate.decode_tokens_per_s or math.inf


def _describe(alias: str, candidate: Candidate) -> str:
    tokens_per_s = candidate.decode_tokens_per_s
    speed_text = f", about {rate(tokens_per_s)} tokens/s" if tokens_per_s else ""
    return f"{alias} ({candidate.quant}{speed_text}) would fit"
