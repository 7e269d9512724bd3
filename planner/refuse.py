"""Why a model does not fit: what its smallest variant needs, what there is, and what would fit."""

from collections.abc import Sequence
from typing import TypedDict

from domain.model import Candidate
from domain.units import gib
from planner import split
from planner.estimate import estimate
from planner.search import Case, base, options

CONTEXTS = (65536, 32768, 16384, 8192, 4096, 2048)


class Why(TypedDict):
    needs_bytes: int
    has_bytes: int
    instead: str


def why(candidates: Sequence[Candidate], case: Case, context_tokens: int) -> Why:
    smallest = min(candidates, key=lambda one: one.shape.file_bytes)
    return Why(
        needs_bytes=needed_bytes(smallest, case, context_tokens),
        has_bytes=split.total_room_bytes(case.hardware, case.reserve) or 0,
        instead=instead(candidates, case, context_tokens),
    )


def needed_bytes(candidate: Candidate, case: Case, context_tokens: int) -> int:
    """All devices together, at the smallest KV type."""
    flags = base("q8_0", context_tokens, case)
    found = estimate(candidate.shape, flags, case.hardware)
    return sum(row.needed_bytes for row in found.memory)


def instead(candidates: Sequence[Candidate], case: Case, context_tokens: int) -> str:
    """The largest smaller context that fits, in words; else what the memory lacks."""
    ranked = sorted(candidates, key=lambda one: one.shape.file_bytes)
    for context in CONTEXTS:
        if context >= context_tokens:
            continue
        for candidate in ranked[:1]:
            found = options(candidate, context, case)
            if found:
                needs = sum(row.needed_bytes for row in found[-1].estimate.memory)
                return f"{candidate.weights.quant} fits with --context {context} ({gib(needs)})"
    names = ", ".join(f"{one.weights.quant} {gib(one.shape.file_bytes)}" for one in ranked[:3])
    return f"no smaller context helps: the weights alone are {names}; a smaller model or quant is needed"
