"""A choice of plans under what a launch gave up after memory ran out."""

from dataclasses import replace

from daemon.planning.computations import Choice
from domain.launches.restraint import UNRESTRAINED, Restraint
from domain.models.model import ResolvedModel
from planner.choose.quality import filter_by_least
from planner.machine.budget import host_reserve_bytes


def restrained(choice: Choice, restraint: Restraint) -> Choice:
    """``choice`` under ``restraint``; without candidates left if none is small enough."""
    if restraint == UNRESTRAINED:
        return choice
    reserve, more = choice.reserve, restraint.margin_bytes
    options = choice.options
    if restraint.context_tokens is not None:
        options = replace(options, context_tokens=restraint.context_tokens, max_context=False)
    good = filter_by_least(tuple(choice.candidates), options.min_quality)  # while the quant it names is there
    return replace(
        choice,
        options=replace(options, min_quality=None),
        candidates=tuple(model for model in good if _is_small(model, restraint)),
        reserve=replace(
            reserve,
            host_bytes=host_reserve_bytes(choice.machine, reserve) + more if more else reserve.host_bytes,
            gpu_bytes=reserve.gpu_bytes + more + restraint.gpu_margin_bytes,
            max_ubatch=restraint.max_ubatch,
            small_cache=restraint.small_cache,
            few_sequences=restraint.few_sequences,
            no_graphs=restraint.no_graphs,
        ),
    )


def _is_small(model: ResolvedModel, restraint: Restraint) -> bool:
    if restraint.below_bytes is None:
        return True
    is_here = model.weights.location is not None or restraint.may_fetch
    return is_here and model.weights.size_bytes < restraint.below_bytes
