"""The chosen candidate as a plan, with its reasons and alternatives."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.launches.plan import Plan
from domain.models.model import ResolvedModel
from domain.units import gib
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.engine import ENGINES
from planner.explain.alternatives import alternatives
from planner.explain.reasons import reasons
from planner.explain.sleeping import sleeping_notes


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What a choice was made from: the models that could be chosen, candidates of engines that could not,
    reasons for the choice of engines, the context that was wanted, and what would have been chosen had none
    been asked for."""

    models: Sequence[ResolvedModel]
    priced_only: Sequence[Candidate]
    engine_reasons: Sequence[str]
    wanted_context: int
    unasked: Candidate | None = None


def build_plan(
    name: str,
    chosen: Candidate,
    candidates: Sequence[Candidate],
    context: PlanContext,
    search: SearchContext,
) -> Plan:
    details = ENGINES[chosen.engine].describe(chosen, search)
    own_reasons = reasons(
        chosen, details, candidates, search, wanted_context=context.wanted_context, unasked=context.unasked
    )
    return Plan(
        model=name,
        engine=chosen.engine,
        weights=chosen.model.weights,
        context_tokens=chosen.context_tokens,
        parallel=search.parallel,
        kv_cache_type=details.kv_cache_type,
        memory=chosen.estimate.memory,
        speed=chosen.estimate.speed,
        fits=chosen.estimate.fits,
        confidence=chosen.estimate.confidence,
        flags=chosen.flags,
        reasons=(*own_reasons, *context.engine_reasons),
        alternatives=alternatives(chosen, candidates, context.models, context.priced_only, search),
        layers=details.layers,
        notes=sleeping_notes(search.hardware),
        pool_tokens=details.pool_tokens,
        guaranteed_tokens=details.guaranteed_tokens,
    )


def from_disk_reason(chosen: Candidate) -> str:
    """That weights are read from the disk, with the bytes that don't fit in memory."""
    host = chosen.estimate.memory[-1]
    shortfall_bytes = host.needed_bytes - (host.free_bytes or 0)
    return f"read from disk, as requested: {gib(shortfall_bytes)} of the weights do not fit in memory"
