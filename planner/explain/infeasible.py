"""Why a model does not fit: what its smallest variant needs, what there is, and what would fit."""

from collections.abc import Sequence
from typing import TypedDict

from domain.model import ResolvedModel
from domain.plan import VLLM
from domain.units import gib, rate
from planner.choose import minimum
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.llama_cpp import search as llama_cpp_search
from planner.llama_cpp import split_search
from planner.vllm import search as vllm_search

SMALLER_CONTEXTS = (65536, 32768, 16384, 8192, 4096, 2048)


class Infeasibility(TypedDict):
    needs_bytes: int
    has_bytes: int
    instead: str


def explain(
    models: Sequence[ResolvedModel], search: SearchContext, context_tokens: int, from_disk: Candidate | None
) -> Infeasibility:
    """``from_disk``: the smallest quant with weights left on the disk, which has to be asked for."""
    smallest = min(models, key=_weight_bytes)
    return Infeasibility(
        needs_bytes=minimum.min_bytes(smallest, context_tokens, search),
        has_bytes=split_search.total_budget_bytes(search.hardware, search.reserve) or 0,
        instead="; ".join(
            [suggest(models, search, context_tokens), *([_from_disk_offer(from_disk)] if from_disk else [])]
        ),
    )


def _from_disk_offer(candidate: Candidate) -> str:
    speed = (
        f"about {rate(candidate.decode_tokens_per_s)} tokens/s"
        if candidate.decode_tokens_per_s
        else "at a speed that is not known"
    )
    return f"with --from-disk {candidate.quant} would run from the disk, {speed}"


def suggest(models: Sequence[ResolvedModel], search: SearchContext, context_tokens: int) -> str:
    """The largest smaller context that fits, in words; else what the memory lacks."""
    ranked = sorted(models, key=_weight_bytes)
    find_candidates = (
        vllm_search.find_candidates if ranked[0].engine == VLLM else llama_cpp_search.find_candidates
    )
    for smaller_context in SMALLER_CONTEXTS:
        if smaller_context >= context_tokens:
            continue
        candidates = find_candidates(ranked[0], smaller_context, search)
        if candidates:
            needed = sum(row.needed_bytes for row in candidates[-1].estimate.memory)
            return f"{ranked[0].weights.quant} fits with --context {smaller_context} ({gib(needed)})"
    names = ", ".join(f"{model.weights.quant} {gib(_weight_bytes(model))}" for model in ranked[:3])
    return f"no smaller context helps: the weights alone are {names}; a smaller model or quant is needed"


def _weight_bytes(model: ResolvedModel) -> int:
    return model.shape.file_bytes or model.weights.size_bytes
