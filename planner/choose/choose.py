"""The best plan for a model on a machine: a search over engines, quants, contexts, cache types and splits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor

from domain.errors import DoesNotFitError, UsageError
from domain.launches.plan import LaunchOptions, Plan
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel
from planner.choose import quality
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.choose.contexts import check_context, contexts_to_try, extend, extend_and_tune, wanted_context
from planner.choose.engines import choose_engines
from planner.choose.selection import select_best
from planner.choose.support import EngineChoice
from planner.choose.value import value, value_bound
from planner.engine import ENGINES
from planner.explain import infeasible
from planner.machine.budget import DEFAULT_RESERVE, Reserve
from planner.machine.calibration import UNCALIBRATED, Calibration
from planner.machine.gpu_budgets import gpu_budgets
from planner.plan import PlanContext, build_plan, from_disk_reason

__all__ = ["Reserve", "plan"]

# Choices, not measurements; losses in percent of perplexity, as ``llama_cpp/quality.py`` has them.
USABLE_LOSS = 11.5  # Q3_K_M of Llama-3-8B is the last below it
SIMILAR_SIZE = 1.05  # of the smallest
SAME_SIZE = 1.02
EXTRA_MODELS = 2  # searched for their price, though they can't win


def plan(
    name: str,
    models: Sequence[ResolvedModel],
    hardware: Hardware,
    options: LaunchOptions,
    *,
    calibration: Calibration = UNCALIBRATED,
    reserve: Reserve = DEFAULT_RESERVE,
) -> Plan:
    """Raises: DoesNotFitError with the bytes and what would fit; UsageError for a context that the model was
    not trained for, a speed that is out of reach, or an engine that can't run here; UnknownModelError for a
    quality that no quant has, and if there are no weights."""
    search = SearchContext(hardware, options, calibration, reserve)
    found = _search(name, models, search)
    choice, selectable, wanted = found.choice, found.choice.selectable, found.wanted_context
    if found.candidates:
        chosen = extend_and_tune(select_best(found.candidates, options), search)
        check_speed(name, chosen, options)
        compared = [
            candidate for candidate in found.candidates if candidate.context_tokens == chosen.context_tokens
        ] or found.candidates
        priced = search_engines(choice.priced_only, chosen.context_tokens, search)
        unasked = _unasked(name, models, search)
        context = PlanContext(selectable, priced, choice.reasons, wanted, unasked)
        return build_plan(name, chosen, compared, context, search)
    candidates = from_disk_candidates(selectable, wanted, search)
    if candidates and options.from_disk:
        chosen = select_best(candidates, options)
        reasons = (*choice.reasons, from_disk_reason(chosen))
        return build_plan(name, chosen, candidates, PlanContext(selectable, (), reasons, wanted), search)
    offer = candidates[-1] if candidates else None
    raise DoesNotFitError(name, **infeasible.explain(selectable, search, wanted, offer))


def find_best(
    name: str,
    models: Sequence[ResolvedModel],
    hardware: Hardware,
    options: LaunchOptions,
    *,
    calibration: Calibration = UNCALIBRATED,
    reserve: Reserve = DEFAULT_RESERVE,
) -> Candidate | None:
    """What ``plan`` would choose, before it is tuned, compared and explained, which takes most of a plan's
    time. ``None`` if nothing fits. Raises: as ``plan``."""
    candidates = _search(name, models, SearchContext(hardware, options, calibration, reserve)).candidates
    if not candidates:
        return None
    best = select_best(candidates, options)
    check_speed(name, best, options)
    return best


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: the models that compete, the context that was wanted, and candidates."""

    choice: EngineChoice
    wanted_context: int
    candidates: list[Candidate]


def _search(name: str, models: Sequence[ResolvedModel], search: SearchContext) -> Found:
    choice, wanted = competing(name, models, search)
    return Found(choice, wanted, search_contexts(choice.selectable, wanted, search))


def competing(name: str, models: Sequence[ResolvedModel], search: SearchContext) -> tuple[EngineChoice, int]:
    """The models that ``search.options`` allow, and the context that is wanted of them."""
    choice = choose_engines(name, models, search.hardware, search.options)
    asked = quality.filter_by_quality(choice.selectable, search.options.quality)
    selectable = quality.filter_by_least(asked, search.options.min_quality)
    check_context(name, selectable, search.options)
    return replace(choice, selectable=selectable), wanted_context(selectable, search.options)


def _unasked(name: str, models: Sequence[ResolvedModel], search: SearchContext) -> Candidate | None:
    """What would have been chosen had no context been asked for; ``None`` if none was."""
    if not search.options.asks_for_context:
        return None
    options = replace(search.options, context_tokens=None, max_context=False)
    free = replace(search, options=options, overhead_hints={})
    candidates = _search(name, models, free).candidates
    return extend(select_best(candidates, options), free) if candidates else None


def from_disk_candidates(
    models: Sequence[ResolvedModel], context_tokens: int, search: SearchContext
) -> list[Candidate]:
    """Candidates that read weights from the disk, of usable quants, the best quality first; only the last of
    them if that was not asked for, as an offer."""
    ranked = sorted_by_quality([model for model in models if ENGINES[model.engine].CAN_READ_FROM_DISK])
    usable = [model for model in ranked if quality.loss(model) <= USABLE_LOSS] or ranked[:1]
    tried = usable if search.options.from_disk else usable and [_best_of_smallest(usable)]
    disk_search = replace(search, from_disk=True, overhead_hints={})
    return [
        candidate
        for model in tried
        for candidate in ENGINES[model.engine].find_candidates(model, context_tokens, disk_search)[:1]
    ]


def _best_of_smallest(usable: Sequence[ResolvedModel]) -> ResolvedModel:
    """The best quality of those that are about as small as the smallest."""
    smallest = min(model.weights.size_bytes for model in usable)
    return next(model for model in usable if model.weights.size_bytes <= SIMILAR_SIZE * smallest)


def search_contexts(models: Sequence[ResolvedModel], wanted: int, search: SearchContext) -> list[Candidate]:
    """Candidates with the wanted context; if none of them is whole on GPUs, or none fits, also of shorter
    ones, unless the owner asked for it. If he asked for the most, the first that fits and is as fast as he
    wants."""
    found: list[Candidate] = []
    for context_tokens in contexts_to_try(wanted, search.options):
        found += search_engines(models, context_tokens, search)
        if found and _suffices(found, models, search):
            break
    return found


def _suffices(found: Sequence[Candidate], models: Sequence[ResolvedModel], search: SearchContext) -> bool:
    if search.options.max_context:
        target = search.options.min_decode_tokens_per_s or 0.0
        return any((candidate.tokens_per_s or 0.0) >= target for candidate in found)
    return any(candidate.is_offloaded for candidate in found) or not _may_be_whole(models, search)


def _may_be_whole(models: Sequence[ResolvedModel], search: SearchContext) -> bool:
    """Whether GPUs hold the weights of a usable quant, if not its cache."""
    room = sum(budget.available_bytes for budget in gpu_budgets(search.hardware, search.reserve))
    return any(quality.loss(model) <= USABLE_LOSS and model.weights.size_bytes < room for model in models)


def search_engines(
    models: Sequence[ResolvedModel], context_tokens: int, search: SearchContext
) -> list[Candidate]:
    """Candidates of each engine from the best quality down: all that may win, and a few for their price."""
    candidates: list[Candidate] = []
    for engine in ENGINES:
        own = [model for model in models if model.engine == engine]
        candidates += _search_engine(own, context_tokens, search)
    return candidates


def _search_engine(
    models: Sequence[ResolvedModel], context_tokens: int, search: SearchContext
) -> list[Candidate]:
    candidates: list[Candidate] = []
    extra = EXTRA_MODELS
    for model in sorted_by_quality(models):
        if not _may_win(model, candidates, context_tokens, search):
            if not extra:
                continue
            extra -= 1
        candidates += ENGINES[model.engine].find_candidates(model, context_tokens, search)
    return candidates


def _may_win(
    model: ResolvedModel, candidates: Sequence[Candidate], context_tokens: int, search: SearchContext
) -> bool:
    """Whether the quant may be worth more than each of ``candidates``, which lose no more, whatever its speed
    turns out to be. Of one that is about as small, no speed would tell it apart."""
    if not candidates:
        return True
    options, size, loss = search.options, model.weights.size_bytes, quality.loss(model)
    if any(candidate.model.weights.size_bytes <= SAME_SIZE * size for candidate in candidates):
        return False
    if options.min_decode_tokens_per_s:
        return True
    whole = [candidate for candidate in candidates if candidate.is_offloaded or not search.hardware.gpus]
    quickest = max(whole, key=lambda candidate: candidate.low_tokens_per_s or 0.0, default=None)
    bound = value_bound(loss, size, quickest, context_tokens, options)
    return bound > max(value(candidate, options) for candidate in candidates)


def sorted_by_quality(models: Sequence[ResolvedModel]) -> list[ResolvedModel]:
    return sorted(models, key=lambda model: (quality.loss(model), model.weights.size_bytes))


def check_speed(name: str, chosen: Candidate, options: LaunchOptions) -> None:
    """Raises: UsageError if nothing decodes as fast as was asked for."""
    wanted, tokens_per_s = options.min_decode_tokens_per_s, chosen.tokens_per_s
    if wanted is not None and chosen.model.weights.kind.is_pooled:
        raise UsageError(
            f"{name} is {chosen.model.weights.kind.description}: it generates no tokens",
            hint="leave out --min-decode",
        )
    if wanted is None or tokens_per_s is None or tokens_per_s >= wanted:
        return
    each = f" for each of {options.parallel} at once" if (options.parallel or 1) > 1 else ""
    expected = f"{chosen.quant} is expected at {tokens_per_s:.1f}"
    raise UsageError(
        f"{name} does not reach {wanted:g} tokens/s{each} here: {expected}",
        hint=f"give --min-decode {floor(10 * tokens_per_s) / 10:g} or less, or name a smaller model",
    )
