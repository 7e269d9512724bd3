"""The best plan for a model on a box: a search over engines, quants, contexts, KV types and splits."""

from collections.abc import Sequence
from dataclasses import replace
from math import floor

from domain.errors import DoesNotFitError, UsageError
from domain.hardware import Hardware
from domain.model import ResolvedModel
from domain.plan import LLAMA_CPP, VLLM, LaunchOptions, Plan
from planner import plan as told
from planner.choose import engines, quality
from planner.choose.candidates import Candidate
from planner.choose.context import (
    COMFORTABLE_TOKENS_PER_S,
    READING_TOKENS_PER_S,
    WORTHWHILE_GAIN,
    SearchContext,
)
from planner.explain import infeasible
from planner.llama_cpp import search as llama_cpp_search
from planner.machine.budget import DEFAULT_RESERVE, Reserve
from planner.machine.calibration import UNCALIBRATED, Calibration
from planner.model.hparams import read_hparams
from planner.vllm import model_config as vllm_config
from planner.vllm import search as vllm_search

__all__ = ["READING_TOKENS_PER_S", "Reserve", "plan"]

GOOD_LOSS = 0.3
DEFAULT_CONTEXT_TOKENS = 32768
MIN_CONTEXT_TOKENS = 4096
USABLE_LOSS = 0.7  # beyond that models lose their thread: about Q3_K_M
NEARLY_AS_FAST = 0.8
SIMILAR_SIZE = 1.05
EXTRA_MODELS = 2


def plan(
    name: str,
    models: Sequence[ResolvedModel],
    hardware: Hardware,
    options: LaunchOptions,
    *,
    calibration: Calibration = UNCALIBRATED,
    reserve: Reserve = DEFAULT_RESERVE,
) -> Plan:
    """Raises: DoesNotFitError with bytes and the nearest that fits; UsageError for a quality that no
    candidate has, a context that the model can't use, a speed that it does not reach, or an engine that
    can't run here; UnknownModelError where there is nothing to choose from."""
    choice = engines.choose_engines(name, models, hardware, options)
    selectable = quality.filter_by_quality(choice.selectable, options.quality)
    check_context(name, selectable, options)
    search = SearchContext(hardware, options, calibration, reserve)
    context_wanted = requested_context(selectable, options)
    for context_tokens in contexts_to_try(context_wanted, options):
        candidates = search_engines(selectable, context_tokens, search)
        if candidates:
            chosen = llama_cpp_search.with_larger_batch(select_best(candidates, options), search)
            check_speed(name, chosen, options)
            priced = search_engines(choice.priced_only, context_tokens, search)
            return told.build_plan(
                name,
                chosen,
                candidates,
                told.PlanContext(selectable, priced, choice.reasons, context_wanted),
                search,
            )
    from_disk = from_disk_candidates(selectable, context_wanted, search)
    if from_disk and options.from_disk:
        chosen = select_best(from_disk, options)
        reasons = (*choice.reasons, told.from_disk_reason(chosen))
        return told.build_plan(
            name, chosen, from_disk, told.PlanContext(selectable, (), reasons, context_wanted), search
        )
    raise DoesNotFitError(
        name, **infeasible.explain(selectable, search, context_wanted, from_disk[-1] if from_disk else None)
    )


def from_disk_candidates(
    models: Sequence[ResolvedModel], context_tokens: int, search: SearchContext
) -> list[Candidate]:
    """Options that leave weights on the disk, of quants that are usable at all, the best quality first; the
    last of them where it is no more than an offer."""
    ranked = sorted_by_quality([model for model in models if model.engine == LLAMA_CPP])
    usable = [model for model in ranked if quality.loss(model) <= USABLE_LOSS] or ranked[:1]
    tried = usable if search.options.from_disk else usable and [_best_of_smallest(usable)]
    disk_search = replace(search, from_disk=True, overhead_hints={})
    return [
        candidate
        for model in tried
        for candidate in llama_cpp_search.find_candidates(model, context_tokens, disk_search)[:1]
    ]


def _best_of_smallest(usable: Sequence[ResolvedModel]) -> ResolvedModel:
    """The best of those that are about as small as the smallest."""
    smallest = min(model.weights.size_bytes for model in usable)
    return next(model for model in usable if model.weights.size_bytes <= SIMILAR_SIZE * smallest)


def search_engines(
    models: Sequence[ResolvedModel], context_tokens: int, search: SearchContext
) -> list[Candidate]:
    """Options of each engine from the best quality down, and a few past the first that is quick enough:
    they are what the choice is compared with."""
    candidates: list[Candidate] = []
    for engine in (LLAMA_CPP, VLLM):
        candidates += _search_engine(
            [model for model in models if model.engine == engine], context_tokens, search
        )
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
        candidates += model_candidates(model, context_tokens, search)
        if any(not search.is_slow(candidate.tokens_per_s) for candidate in candidates):
            extra -= 1
        if extra < 0:
            break
    return candidates


def model_candidates(
    model: ResolvedModel, context_tokens: int, search: SearchContext
) -> tuple[Candidate, ...]:
    if model.engine == VLLM:
        return vllm_search.find_candidates(model, context_tokens, search)
    return llama_cpp_search.find_candidates(model, context_tokens, search)


def native_context(model: ResolvedModel) -> int:
    if model.engine == VLLM:
        return vllm_config.read_config(model.shape).native_context
    return read_hparams(model.shape).native_context


def check_context(name: str, models: Sequence[ResolvedModel], options: LaunchOptions) -> None:
    """Raises: UsageError where more is asked for than the model was trained for: engines cap it."""
    if options.context_tokens is None:
        return
    trained = max(native_context(model) for model in models)
    if options.context_tokens > trained:
        raise UsageError(
            f"{name} was trained for a context of {trained} tokens, {options.context_tokens} were asked for",
            hint=f"give --context {trained} or less",
        )


def check_speed(name: str, chosen: Candidate, options: LaunchOptions) -> None:
    """Raises: UsageError where nothing decodes as fast as was asked for: never silently slower."""
    wanted, tokens_per_s = options.min_decode_tokens_per_s, chosen.tokens_per_s
    if wanted is None or tokens_per_s is None or tokens_per_s >= wanted:
        return
    each = f" for each of {options.parallel} at once" if (options.parallel or 1) > 1 else ""
    expected = f"{chosen.quant} is expected at {tokens_per_s:.1f}"
    raise UsageError(
        f"{name} does not reach {wanted:g} tokens/s{each} here: {expected}",
        hint=f"give --min-decode {floor(10 * tokens_per_s) / 10:g} or less, or name a smaller model",
    )


def sorted_by_quality(models: Sequence[ResolvedModel]) -> list[ResolvedModel]:
    return sorted(models, key=lambda model: (quality.loss(model), model.weights.size_bytes))


def requested_context(models: Sequence[ResolvedModel], options: LaunchOptions) -> int:
    """Tokens per sequence: as asked; else 32k, or what the model was trained for."""
    if options.context_tokens:
        return options.context_tokens
    return min(DEFAULT_CONTEXT_TOKENS, max(native_context(model) for model in models))


def contexts_to_try(first: int, options: LaunchOptions) -> list[int]:
    """The wanted one; halves of it only where the owner did not ask for one."""
    contexts = [first]
    while not options.context_tokens and contexts[-1] // 2 >= MIN_CONTEXT_TOKENS:
        contexts.append(contexts[-1] // 2)
    return contexts


def select_best(candidates: Sequence[Candidate], options: LaunchOptions) -> Candidate:
    """The least loss that decodes at the wished speed; without a wish the quickest tier that a usable
    quant reaches. Too slow all: of usable quants the fastest, or a better one that is nearly as fast."""
    for target, max_loss in speed_tiers(options):
        fast_enough = [
            candidate
            for candidate in candidates
            if candidate.loss <= max_loss
            and (candidate.tokens_per_s is None or candidate.tokens_per_s >= target)
        ]
        if fast_enough:
            least_loss = min(candidate.loss for candidate in fast_enough)
            return prefer_simplest(
                [
                    candidate
                    for candidate in fast_enough
                    if candidate.loss <= least_loss + _indistinguishable_loss(options)
                ]
            )
    usable = [candidate for candidate in candidates if candidate.loss <= USABLE_LOSS] or list(candidates)
    fastest = max(candidate.tokens_per_s or 0.0 for candidate in usable)
    nearly_as_fast = [
        candidate for candidate in usable if (candidate.tokens_per_s or 0.0) >= NEARLY_AS_FAST * fastest
    ]
    return min(nearly_as_fast, key=lambda candidate: candidate.loss)


def _indistinguishable_loss(options: LaunchOptions) -> float:
    """Losses this close count as one; of several sequences at once speed counts for more."""
    return (
        quality.INDISTINGUISHABLE_LOSS_IN_BATCH
        if (options.parallel or 1) > 1
        else quality.INDISTINGUISHABLE_LOSS
    )


def speed_tiers(options: LaunchOptions) -> tuple[tuple[float, float], ...]:
    """Tokens/s, and the loss that is acceptable at it."""
    if options.min_decode_tokens_per_s:
        return ((options.min_decode_tokens_per_s, quality.UNBOUNDED),)
    return ((COMFORTABLE_TOKENS_PER_S, GOOD_LOSS), (READING_TOKENS_PER_S, USABLE_LOSS))


def prefer_simplest(candidates: Sequence[Candidate]) -> Candidate:
    """The first is the plainest; another must be faster by more than a little."""
    chosen = candidates[0]
    for candidate in candidates[1:]:
        if candidate.score and chosen.score and candidate.score > chosen.score * WORTHWHILE_GAIN:
            chosen = candidate
    return chosen
