"""The chosen option as a plan, with its reasons and what else there was."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.model import ResolvedModel
from domain.plan import VLLM, Plan
from domain.units import gib
from planner.choose.candidates import Candidate
from planner.explain import alternatives, reasons
from planner.llama_cpp.search import SearchContext


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What a choice is told with: all candidates it could fall on, options of an engine that is not at
    hand, what was said of engines, and the context that was wanted."""

    candidates: Sequence[ResolvedModel]
    priced: Sequence[Candidate]
    said: Sequence[str]
    wanted_context: int


def build_plan(
    model: str, chosen: Candidate, found: Sequence[Candidate], beside: PlanContext, case: SearchContext
) -> Plan:
    is_vllm = chosen.engine == VLLM
    return Plan(
        model=model,
        engine=chosen.engine,
        weights=chosen.candidate.weights,
        context_tokens=chosen.context_tokens,
        parallel=case.parallel,
        kv_cache_type=reasons.cache_type(chosen),
        memory=chosen.estimate.memory,
        speed=chosen.estimate.speed,
        fits=chosen.estimate.fits,
        confidence=chosen.estimate.confidence,
        flags=chosen.flags,
        reasons=(*reasons.reasons(chosen, found, case, beside.wanted_context), *beside.said),
        alternatives=alternatives.alternatives(chosen, found, beside.candidates, beside.priced, case),
        layers=None if is_vllm else reasons.layers(chosen),
    )


def from_disk(chosen: Candidate) -> str:
    """As asked: with the bytes that memory lacks."""
    host = chosen.estimate.memory[-1]
    lacks = host.needed_bytes - (host.free_bytes or 0)
    return f"from disk, as asked: {gib(lacks)} of the weights can't stay in memory"
