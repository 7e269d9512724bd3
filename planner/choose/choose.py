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
from planner.explain import infeasible
from planner.llama_cpp import search
from planner.llama_cpp.search import COMFORTABLE_TOKENS_PER_S, READING_TOKENS_PER_S, WORTH, SearchContext
from planner.machine.budget import DEFAULT_RESERVE, Reserve
from planner.machine.calibration import UNCALIBRATED, Calibration
from planner.model import hparams
from planner.vllm import model_config as vllm_config
from planner.vllm import options as vllm_options

__all__ = ["READING_TOKENS_PER_S", "Reserve", "plan"]

GOOD_LOSS = 0.3
DEFAULT_CONTEXT_TOKENS = 32768
LEAST_CONTEXT_TOKENS = 4096
USABLE_LOSS = 0.7  # beyond that models lose their thread: about Q3_K_M
NEARLY = 0.8
ABOUT = 1.05
FURTHER = 2


def plan(
    model: str,
    candidates: Sequence[ResolvedModel],
    hardware: Hardware,
    wish: LaunchOptions,
    *,
    calibration: Calibration = UNCALIBRATED,
    reserve: Reserve = DEFAULT_RESERVE,
) -> Plan:
    """Raises: DoesNotFitError with bytes and the nearest that fits; UsageError for a quality that no
    candidate has, a context that the model can't use, a speed that it does not reach, or an engine that
    can't run here; UnknownModelError where there is nothing to choose from."""
    field = engines.weigh(model, candidates, hardware, wish)
    mine = quality.wanted(field.mine, wish.quality)
    check_context(model, mine, wish)
    case = SearchContext(hardware, wish, calibration, reserve)
    wanted = wanted_context(mine, wish)
    for context_tokens in contexts(wanted, wish):
        found = survey(mine, context_tokens, case)
        if found:
            chosen = search.with_larger_batch(best(found, wish), case)
            check_speed(model, chosen, wish)
            priced = survey(field.others, context_tokens, case)
            return told.build_plan(
                model, chosen, found, told.PlanContext(mine, priced, field.said, wanted), case
            )
    lazy = from_disk(mine, wanted, case)
    if lazy and wish.from_disk:
        chosen = best(lazy, wish)
        said = (*field.said, told.from_disk(chosen))
        return told.build_plan(model, chosen, lazy, told.PlanContext(mine, (), said, wanted), case)
    raise DoesNotFitError(model, **infeasible.why(mine, case, wanted, lazy[-1] if lazy else None))


def from_disk(
    candidates: Sequence[ResolvedModel], context_tokens: int, case: SearchContext
) -> list[Candidate]:
    """Options that leave weights on the disk, of quants that are usable at all, the best quality first; the
    last of them where it is no more than an offer."""
    ranked = by_quality([one for one in candidates if one.engine == LLAMA_CPP])
    usable = [one for one in ranked if quality.loss(one) <= USABLE_LOSS] or ranked[:1]
    asked = usable if case.wish.from_disk else usable and [_least(usable)]
    lazy = replace(case, from_disk=True, taken={})
    return [option for one in asked for option in search.options(one, context_tokens, lazy)[:1]]


def _least(usable: Sequence[ResolvedModel]) -> ResolvedModel:
    """The best of those that are about as small as the smallest."""
    smallest = min(one.weights.size_bytes for one in usable)
    return next(one for one in usable if one.weights.size_bytes <= ABOUT * smallest)


def survey(candidates: Sequence[ResolvedModel], context_tokens: int, case: SearchContext) -> list[Candidate]:
    """Options of each engine from the best quality down, and a few past the first that is quick enough:
    they are what the choice is compared with."""
    found: list[Candidate] = []
    for engine in (LLAMA_CPP, VLLM):
        found += _of_engine([one for one in candidates if one.engine == engine], context_tokens, case)
    return found


def _of_engine(
    candidates: Sequence[ResolvedModel], context_tokens: int, case: SearchContext
) -> list[Candidate]:
    found: list[Candidate] = []
    further = FURTHER
    for one in by_quality(candidates):
        usable = any(option.loss <= USABLE_LOSS for option in found)
        if usable and quality.loss(one) > USABLE_LOSS and not case.wish.min_decode_tokens_per_s:
            break
        found += options(one, context_tokens, case)
        if any(not case.is_slow(option.pace) for option in found):
            further -= 1
        if further < 0:
            break
    return found


def options(candidate: ResolvedModel, context_tokens: int, case: SearchContext) -> tuple[Candidate, ...]:
    if candidate.engine == VLLM:
        return vllm_options.options(candidate, context_tokens, case)
    return search.options(candidate, context_tokens, case)


def native_context(candidate: ResolvedModel) -> int:
    if candidate.engine == VLLM:
        return vllm_config.read(candidate.shape).native_context
    return hparams.read(candidate.shape).native_context


def check_context(model: str, candidates: Sequence[ResolvedModel], wish: LaunchOptions) -> None:
    """Raises: UsageError where more is asked for than the model was trained for: engines cap it."""
    if wish.context_tokens is None:
        return
    trained = max(native_context(one) for one in candidates)
    if wish.context_tokens > trained:
        raise UsageError(
            f"{model} was trained for a context of {trained} tokens, {wish.context_tokens} were asked for",
            hint=f"give --context {trained} or less",
        )


def check_speed(model: str, chosen: Candidate, wish: LaunchOptions) -> None:
    """Raises: UsageError where nothing decodes as fast as was asked for: never silently slower."""
    least, pace = wish.min_decode_tokens_per_s, chosen.pace
    if least is None or pace is None or pace >= least:
        return
    each = f" for each of {wish.parallel} at once" if (wish.parallel or 1) > 1 else ""
    raise UsageError(
        f"{model} does not reach {least:g} tokens/s{each} here: {chosen.quant} is expected at {pace:.1f}",
        hint=f"give --min-decode {floor(10 * pace) / 10:g} or less, or name a smaller model",
    )


def by_quality(candidates: Sequence[ResolvedModel]) -> list[ResolvedModel]:
    return sorted(candidates, key=lambda one: (quality.loss(one), one.weights.size_bytes))


def wanted_context(candidates: Sequence[ResolvedModel], wish: LaunchOptions) -> int:
    """Tokens per sequence: as asked; else 32k, or what the model was trained for."""
    if wish.context_tokens:
        return wish.context_tokens
    return min(DEFAULT_CONTEXT_TOKENS, max(native_context(one) for one in candidates))


def contexts(wanted: int, wish: LaunchOptions) -> list[int]:
    """The wanted one; halves of it only where the owner did not ask for one."""
    found = [wanted]
    while not wish.context_tokens and found[-1] // 2 >= LEAST_CONTEXT_TOKENS:
        found.append(found[-1] // 2)
    return found


def best(found: Sequence[Candidate], wish: LaunchOptions) -> Candidate:
    """The least loss that decodes at the wished speed; without a wish the quickest tier that a usable
    quant reaches. Too slow all: of usable quants the fastest, or a better one that is nearly as fast."""
    for target, most_loss in tiers(wish):
        quick = [
            option
            for option in found
            if option.loss <= most_loss and (option.pace is None or option.pace >= target)
        ]
        if quick:
            least = min(option.loss for option in quick)
            return plainest([option for option in quick if option.loss <= least + _same(wish)])
    usable = [option for option in found if option.loss <= USABLE_LOSS] or list(found)
    fastest = max(option.pace or 0.0 for option in usable)
    near = [option for option in usable if (option.pace or 0.0) >= NEARLY * fastest]
    return min(near, key=lambda option: option.loss)


def _same(wish: LaunchOptions) -> float:
    """Losses this close count as one; of several sequences at once speed counts for more."""
    return quality.SAME_AT_ONCE if (wish.parallel or 1) > 1 else quality.SAME


def tiers(wish: LaunchOptions) -> tuple[tuple[float, float], ...]:
    """Tokens/s, and the loss that is acceptable at it."""
    if wish.min_decode_tokens_per_s:
        return ((wish.min_decode_tokens_per_s, quality.UNBOUNDED),)
    return ((COMFORTABLE_TOKENS_PER_S, GOOD_LOSS), (READING_TOKENS_PER_S, USABLE_LOSS))


def plainest(alike: Sequence[Candidate]) -> Candidate:
    """The first is the plainest; another must be faster by more than a little."""
    chosen = alike[0]
    for option in alike[1:]:
        if option.quickness and chosen.quickness and option.quickness > chosen.quickness * WORTH:
            chosen = option
    return chosen
