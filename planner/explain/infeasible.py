"""Why a model does not fit: what its smallest variant needs, what there is, and what would fit."""

from collections.abc import Sequence
from typing import TypedDict

from domain.model import ResolvedModel
from domain.plan import VLLM
from domain.units import gib, rate
from planner.choose import minimum
from planner.choose.candidates import Candidate
from planner.llama_cpp import search, split_search
from planner.llama_cpp.search import SearchContext
from planner.vllm import options as vllm_options

CONTEXTS = (65536, 32768, 16384, 8192, 4096, 2048)


class Why(TypedDict):
    needs_bytes: int
    has_bytes: int
    instead: str


def why(
    candidates: Sequence[ResolvedModel], case: SearchContext, context_tokens: int, from_disk: Candidate | None
) -> Why:
    """``from_disk``: the smallest quant with weights left on the disk, which has to be asked for."""
    smallest = min(candidates, key=_size)
    return Why(
        needs_bytes=minimum.least_bytes(smallest, context_tokens, case),
        has_bytes=split_search.total_room_bytes(case.hardware, case.reserve) or 0,
        instead="; ".join(
            [instead(candidates, case, context_tokens), *([_read(from_disk)] if from_disk else [])]
        ),
    )


def _read(option: Candidate) -> str:
    speed = f"about {rate(option.decode)} tokens/s" if option.decode else "at a speed that is not known"
    return f"with --from-disk {option.quant} would run from the disk, {speed}"


def instead(candidates: Sequence[ResolvedModel], case: SearchContext, context_tokens: int) -> str:
    """The largest smaller context that fits, in words; else what the memory lacks."""
    ranked = sorted(candidates, key=_size)
    of = vllm_options.options if ranked[0].engine == VLLM else search.options
    for context in CONTEXTS:
        if context >= context_tokens:
            continue
        found = of(ranked[0], context, case)
        if found:
            needed = sum(row.needed_bytes for row in found[-1].estimate.memory)
            return f"{ranked[0].weights.quant} fits with --context {context} ({gib(needed)})"
    names = ", ".join(f"{one.weights.quant} {gib(_size(one))}" for one in ranked[:3])
    return f"no smaller context helps: the weights alone are {names}; a smaller model or quant is needed"


def _size(candidate: ResolvedModel) -> int:
    return candidate.shape.file_bytes or candidate.weights.size_bytes
