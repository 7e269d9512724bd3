"""The best plan for a model on a machine: a search over engines, quants, contexts, cache types and splits."""

from collections.abc import Sequence
from dataclasses import replace
from math import floor

from domain.errors import DoesNotFitError, UsageError
from domain.hardware import Hardware
from domain.model import ResolvedModel
from domain.plan import LaunchOptions, Plan
from planner.choose import quality
from planner.choose.candidates import Candidate
from planner.choose.context import (
    COMFORTABLE_TOKENS_PER_S,
    READING_TOKENS_PER_S,
    WORTHWHILE_GAIN,
    SearchContext,
)
from planner.choose.engines import choose_engines
from planner.engine import ENGINES
from planner.explain import infeasible
from planner.machine.budget import DEFAULT_RESERVE, Reserve
from planner.machine.calibration import UNCALIBRATED, Calibration
from planner.plan import PlanContext, build_plan, from_disk_reason

__all__ = ["READING_TOKENS_PER_S", "Reserve", "plan"]

# Choices, not measurements; losses in percent of perplexity, as ``llama_cpp/quality.py`` has them.
GOOD_LOSS = 5.0  # Q4_K_S and IQ4_XS of Llama-3-8B are below it
USABLE_LOSS = 11.5  # Q3_K_M of Llama-3-8B is the last below it
DEFAULT_CONTEXT_TOKENS = 32768
MIN_CONTEXT_TOKENS = 4096
NEARLY_AS_FAST = 0.8  # of the fastest: a better quant may be that much slower where all are too slow
SIMILAR_SIZE = 1.05  # of the smallest
EXTRA_MODELS = 2  # searched after the first that is fast enough


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
    choice = choose_engines(name, models, hardware, options)
    selectable = quality.filter_by_quality(choice.selectable, options.quality)
    check_context(name, selectable, options)
    search = SearchContext(hardware, options, calibration, reserve)
    wanted = wanted_context(selectable, options)
    for context_tokens in contexts_to_try(wanted, options):
        candidates = search_engines(selectable, context_tokens, search)
        if candidates:
            best = select_best(candidates, options)
            chosen = ENGINES[best.engine].tune(best, search)
            check_speed(name, chosen, options)
            priced = search_engines(choice.priced_only, context_tokens, search)
            context = PlanContext(selectable, priced, choice.reasons, wanted)
            return build_plan(name, chosen, candidates, context, search)
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
    selectable = choose_engines(name, models, hardware, options).selectable
    check_context(name, selectable, options)
    search = SearchContext(hardware, options, calibration, reserve)
    for context_tokens in contexts_to_try(wanted_context(selectable, options), options):
        if candidates := search_engines(selectable, context_tokens, search):
            best = select_best(candidates, options)
            check_speed(name, best, options)
            return best
    return None


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


def search_engines(
    models: Sequence[ResolvedModel], context_tokens: int, search: SearchContext
) -> list[Candidate]:
    """Candidates of each engine from the best quality down, and a few after the first that is fast enough,
    which the choice is compared with."""
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
        has_usable = any(candidate.loss <= USABLE_LOSS for candidate in candidates)
        if has_usable and quality.loss(model) > USABLE_LOSS and not search.options.min_decode_tokens_per_s:
            break
        candidates += ENGINES[model.engine].find_candidates(model, context_tokens, search)
        if any(not search.is_slow(candidate.tokens_per_s) for candidate in candidates):
            extra -= 1
        if extra < 0:
            break
    return candidates


def sorted_by_quality(models: Sequence[ResolvedModel]) -> list[ResolvedModel]:
    return sorted(models, key=lambda model: (quality.loss(model), model.weights.size_bytes))


def trained_context_tokens(models: Sequence[ResolvedModel]) -> int:
    return max(ENGINES[model.engine].trained_context_tokens(model.shape) for model in models)


def check_context(name: str, models: Sequence[ResolvedModel], options: LaunchOptions) -> None:
    """Raises: UsageError for a longer context than the model was trained for, which engines would cap."""
    if options.context_tokens is None:
        return
    trained = trained_context_tokens(models)
    if options.context_tokens > trained:
        raise UsageError(
            f"{name} was trained for a context of {trained} tokens, {options.context_tokens} were asked for",
            hint=f"give --context {trained} or less",
        )


def check_speed(name: str, chosen: Candidate, options: LaunchOptions) -> None:
    """Raises: UsageError if nothing decodes as fast as was asked for."""
    wanted, tokens_per_s = options.min_decode_tokens_per_s, chosen.tokens_per_s
    if wanted is None or tokens_per_s is None or tokens_per_s >= wanted:
        return
    each = f" for each of {options.parallel} at once" if (options.parallel or 1) > 1 else ""
    expected = f"{chosen.quant} is expected at {tokens_per_s:.1f}"
    raise UsageError(
        f"{name} does not reach {wanted:g} tokens/s{each} here: {expected}",
        hint=f"give --min-decode {floor(10 * tokens_per_s) / 10:g} or less, or name a smaller model",
    )


def wanted_context(models: Sequence[ResolvedModel], options: LaunchOptions) -> int:
    """Tokens per sequence: as asked, else 32k or what the model was trained for."""
    return options.context_tokens or min(DEFAULT_CONTEXT_TOKENS, trained_context_tokens(models))


def contexts_to_try(wanted: int, options: LaunchOptions) -> list[int]:
    """The wanted context, and halves of it if the owner did not ask for one."""
    contexts = [wanted]
    while not options.context_tokens and contexts[-1] // 2 >= MIN_CONTEXT_TOKENS:
        contexts.append(contexts[-1] // 2)
    return contexts


def select_best(candidates: Sequence[Candidate], options: LaunchOptions) -> Candidate:
    """The least loss that decodes at the requested speed, or in the fastest tier that a usable quant reaches.

    If all are too slow: of the usable quants the fastest, or a better one that is nearly as fast."""
    for target, max_loss in speed_tiers(candidates, options):
        fast = [
            candidate
            for candidate in candidates
            if candidate.loss <= max_loss
            and (candidate.tokens_per_s is None or candidate.tokens_per_s >= target)
        ]
        if fast:
            limit = min(candidate.loss for candidate in fast) + _indistinguishable_loss(options)
            return prefer_simplest([candidate for candidate in fast if candidate.loss <= limit])
    usable = [candidate for candidate in candidates if candidate.loss <= USABLE_LOSS] or list(candidates)
    fastest = max(candidate.tokens_per_s or 0.0 for candidate in usable)
    nearly = [
        candidate for candidate in usable if (candidate.tokens_per_s or 0.0) >= NEARLY_AS_FAST * fastest
    ]
    return min(nearly, key=lambda candidate: candidate.loss)


def _indistinguishable_loss(options: LaunchOptions) -> float:
    """The difference below which losses count as equal; larger for several sequences, where speed counts
    more."""
    if (options.parallel or 1) > 1:
        return quality.INDISTINGUISHABLE_LOSS_IN_BATCH
    return quality.INDISTINGUISHABLE_LOSS


def speed_tiers(candidates: Sequence[Candidate], options: LaunchOptions) -> tuple[tuple[float, float], ...]:
    """Tokens/s, and the loss that is acceptable for it: any if there is none that is usable."""
    if options.min_decode_tokens_per_s:
        return ((options.min_decode_tokens_per_s, quality.UNBOUNDED_LOSS),)
    if min(candidate.loss for candidate in candidates) > USABLE_LOSS:
        speeds = (COMFORTABLE_TOKENS_PER_S, READING_TOKENS_PER_S)
        return tuple((tokens_per_s, quality.UNBOUNDED_LOSS) for tokens_per_s in speeds)
    return ((COMFORTABLE_TOKENS_PER_S, GOOD_LOSS), (READING_TOKENS_PER_S, USABLE_LOSS))


def prefer_simplest(candidates: Sequence[Candidate]) -> Candidate:
    """The first is the simplest; another one must have a clearly better score."""
    chosen = candidates[0]
    for candidate in candidates[1:]:
        if candidate.score and chosen.score and candidate.score > chosen.score * WORTHWHILE_GAIN:
            chosen = candidate
    return chosen
