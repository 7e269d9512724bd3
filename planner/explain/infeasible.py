"""Why a model does not fit: what its smallest quant needs, what there is, and what would fit."""

from collections.abc import Sequence
from typing import TypedDict

from domain.models.model import ResolvedModel
from domain.units import gib, rate
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.engine import ENGINES
from planner.explain.sleeping import sleeping_notes

SMALLER_CONTEXTS = (65536, 32768, 16384, 8192, 4096, 2048)


class Infeasibility(TypedDict):
    """The arguments of ``DoesNotFitError``."""

    needs_bytes: int
    has_bytes: int | None
    where: str
    instead: str


def explain(
    models: Sequence[ResolvedModel], search: SearchContext, context_tokens: int, from_disk: Candidate | None
) -> Infeasibility:
    """``from_disk``: the smallest quant with weights read from the disk, which has to be asked for."""
    smallest = min(models, key=_weight_bytes)
    offers = [*sleeping_notes(search.hardware), suggest_context(models, search, context_tokens)]
    if from_disk is not None:
        offers.append(_from_disk_offer(from_disk))
    lacking = ENGINES[smallest.engine].shortage(smallest, context_tokens, search)
    return Infeasibility(
        needs_bytes=lacking.needs_bytes,
        has_bytes=lacking.has_bytes,
        where=lacking.where,
        instead="; ".join(offers),
    )


def _from_disk_offer(candidate: Candidate) -> str:
    speed = "at an unknown speed"
    if candidate.decode_tokens_per_s:
        speed = f"about {rate(candidate.decode_tokens_per_s)} tokens/s"
    return f"with --from-disk {candidate.quant} would run from the disk, {speed}"


def suggest_context(models: Sequence[ResolvedModel], search: SearchContext, context_tokens: int) -> str:
    """The largest smaller context with which the smallest quant fits; else that none helps."""
    ranked = sorted(models, key=_weight_bytes)
    smallest = ranked[0]
    for smaller_context in SMALLER_CONTEXTS:
        if smaller_context >= context_tokens:
            continue
        candidates = ENGINES[smallest.engine].find_candidates(smallest, smaller_context, search)
        if candidates:
            needed = gib(candidates[-1].needed_bytes)
            option = "--min-context" if search.options.min_context_tokens else "--context"
            return f"{smallest.weights.quant} fits with {option} {smaller_context} ({needed})"
    names = ", ".join(f"{model.weights.quant} {gib(_weight_bytes(model))}" for model in ranked[:3])
    return f"no smaller context helps: the weights alone are {names}; a smaller model or quant is needed"


def _weight_bytes(model: ResolvedModel) -> int:
    return model.shape.file_bytes or model.weights.size_bytes
