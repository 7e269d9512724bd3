"""The chosen option as a plan, with its reasons and what else there was."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.model import ResolvedModel
from domain.plan import VLLM, Plan
from domain.units import gib
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.explain import alternatives, reasons


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What a choice is told with: all candidates it could fall on, options of an engine that is not at
    hand, what was said of engines, and the context that was wanted."""

    models: Sequence[ResolvedModel]
    priced_only: Sequence[Candidate]
    reasons: Sequence[str]
    wanted_context: int


def build_plan(
    name: str,
    chosen: Candidate,
    candidates: Sequence[Candidate],
    plan_context: PlanContext,
    search: SearchContext,
) -> Plan:
    is_vllm = chosen.engine == VLLM
    return Plan(
        model=name,
        engine=chosen.engine,
        weights=chosen.model.weights,
        context_tokens=chosen.context_tokens,
        parallel=search.parallel,
        kv_cache_type=reasons.cache_type(chosen),
        memory=chosen.estimate.memory,
        speed=chosen.estimate.speed,
        fits=chosen.estimate.fits,
        confidence=chosen.estimate.confidence,
        flags=chosen.flags,
        reasons=(
            *reasons.reasons(chosen, candidates, search, plan_context.wanted_context),
            *plan_context.reasons,
        ),
        alternatives=alternatives.alternatives(
            chosen, candidates, plan_context.models, plan_context.priced_only, search
        ),
        layers=None if is_vllm else reasons.layer_count(chosen),
    )


def from_disk_reason(chosen: Candidate) -> str:
    """As asked: with the bytes that memory lacks."""
    host = chosen.estimate.memory[-1]
    shortfall = host.needed_bytes - (host.free_bytes or 0)
    return f"from disk, as asked: {gib(shortfall)} of the weights can't stay in memory"
