"""Suggests a model that fits in place of one that does not."""

import logging
import math
import re
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
FOUR_BITS_BYTES = 0.6  # of a parameter in Q4_K_M: 4.9 GB of 8.03 billion (Llama 3.1 8B)


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
    ranked = rank_models(catalogue.values(), families(refused), machine)
    found = _first_that_fits(resolve, ranked, machine, options, calibration, reserve)
    return f"{_describe(*found)} would fit" if found else ""


def suggest_several(
    resolve: Resolve,
    catalogue: Mapping[str, KnownModel],
    name: str,
    refused: Sequence[ResolvedModel],
    machine: Hardware,
    options: LaunchOptions,
    *,
    calibration: Calibration,
    reserve: Reserve,
) -> tuple[str, ...]:
    """A sentence each for the largest of the family of ``name`` that fits, if any, and for the one that
    ``suggest`` names."""
    ranked = rank_models(catalogue.values(), families(refused), machine)
    relatives = [model for model in ranked if _family(model.alias) == _family(name)]
    said = dict[str, str]()
    for what, models in (("of the same family", relatives), ("another model", ranked)):
        found = _first_that_fits(resolve, models, machine, options, calibration, reserve)
        if found is not None:
            size = catalogue[found[0]].parameters
            billions = f"{size / 1e9:.3g}B parameters, " if size else ""
            said.setdefault(found[0], f"{what}: {_describe(*found, billions)}")
    return tuple(said.values())


def _first_that_fits(
    resolve: Resolve,
    ranked: Sequence[KnownModel],
    machine: Hardware,
    options: LaunchOptions,
    calibration: Calibration,
    reserve: Reserve,
) -> tuple[str, Candidate] | None:
    """Of the first few the first that is as fast as one reads, else the fastest, with its alias."""
    options = replace(options, quality=None, engine=None)  # they were about another model's files
    fastest: tuple[str, Candidate] | None = None
    for model in ranked[:MAX_PLANS]:
        best = _best_of(resolve, model, machine, options, calibration, reserve)
        if best is None:
            continue
        if _tokens_per_s(best) >= READING_TOKENS_PER_S:
            return model.alias, best
        if fastest is None or _tokens_per_s(best) > _tokens_per_s(fastest[1]):
            fastest = model.alias, best
    return fastest


def _family(name: str) -> str:
    """``unsloth/Qwen3.6-27B-GGUF`` and ``qwen3-8b`` -> ``qwen``: generations differ by their numbers."""
    return re.split(r"[^a-z]", name.rpartition("/")[2].lower(), maxsplit=1)[0]


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
    """As published, else of 4 bits; ``None`` without a quant that is known."""
    sizes = [quant.size_bytes for quant in model.quants if quant.size_bytes is not None]
    if not sizes and model.quants and model.parameters:
        return int(FOUR_BITS_BYTES * model.parameters)
    return min(sizes, default=None)


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


def _describe(alias: str, candidate: Candidate, before: str = "") -> str:
    tokens_per_s = candidate.decode_tokens_per_s
    speed_text = f", about {rate(tokens_per_s)} tokens/s" if tokens_per_s else ""
    return f"{alias} ({before}{candidate.quant}{speed_text})"
