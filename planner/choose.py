"""The best plan for a model on a box: a search over quants, KV types, contexts, splits and batches."""

from collections.abc import Sequence

from domain.errors import DoesNotFitError, UnknownModelError, UsageError
from domain.hardware import Hardware
from domain.model import Candidate
from domain.plan import LLAMA_CPP, VLLM, Plan, Wish
from planner import hparams, quality, reasons, refuse, vllm
from planner.budget import DEFAULT_RESERVE, Reserve
from planner.calibration import UNCALIBRATED, Calibration
from planner.option import Option
from planner.search import WORTH, Case, options

__all__ = ["Reserve", "plan"]

# Silent reading: 238 words a minute (Brysbaert 2019), 4 tokens for 3 words. Comfortable is twice that, for
# people skim, and models think aloud: reached with a quant that is still good, else reading speed will do.
READING_TOKENS_PER_S = 5.3
COMFORTABLE_TOKENS_PER_S = 10.0
GOOD_LOSS = 0.3
DEFAULT_CONTEXT_TOKENS = 32768
LEAST_CONTEXT_TOKENS = 4096
USABLE_LOSS = 0.7  # beyond that models lose their thread: about Q3_K_M
NEARLY = 0.8
FURTHER = 2


def plan(
    model: str,
    candidates: Sequence[Candidate],
    hardware: Hardware,
    wish: Wish,
    *,
    calibration: Calibration = UNCALIBRATED,
    reserve: Reserve = DEFAULT_RESERVE,
) -> Plan:
    """Raises: DoesNotFitError with bytes and the nearest that fits; UsageError for a quality that no
    candidate has or a context that the model can't use; UnknownModelError where there is nothing to
    choose from."""
    engine, mine = of_engine(model, candidates, wish)
    mine = quality.wanted(mine, wish.quality)
    check_context(model, engine, mine, wish)
    if engine == VLLM:
        return vllm.plan(model, mine, hardware, wish, reserve=reserve)
    case = Case(hardware, wish, calibration, reserve)
    for context_tokens in contexts(mine, wish):
        found = survey(mine, context_tokens, case)
        if found:
            chosen = best(found, wish)
            return reasons.told(model, chosen, found, mine, case, wanted_context(mine, wish))
    raise DoesNotFitError(model, **refuse.why(mine, case, wanted_context(mine, wish)))


def survey(candidates: Sequence[Candidate], context_tokens: int, case: Case) -> list[Option]:
    """Options from the best quality down, and a few past the first that is quick enough: they are what
    the choice is compared with."""
    target = case.wish.min_decode_tokens_per_s or COMFORTABLE_TOKENS_PER_S
    found: list[Option] = []
    further = FURTHER
    for one in by_quality(candidates):
        usable = any(option.loss <= USABLE_LOSS for option in found)
        if usable and quality.loss(one) > USABLE_LOSS and not case.wish.min_decode_tokens_per_s:
            break
        found += options(one, context_tokens, case)
        if any(option.decode is None or option.decode >= target for option in found):
            further -= 1
        if further < 0:
            break
    return found


def of_engine(model: str, candidates: Sequence[Candidate], wish: Wish) -> tuple[str, tuple[Candidate, ...]]:
    """The engine wished for, else llama.cpp where it can load any of them."""
    for engine in (wish.engine,) if wish.engine else (LLAMA_CPP, VLLM):
        found = tuple(one for one in candidates if one.engine == engine)
        if found:
            return engine, found
    raise UnknownModelError(model, what=f"{model} has no weights for {wish.engine or 'any engine'}")


def check_context(model: str, engine: str, candidates: Sequence[Candidate], wish: Wish) -> None:
    """Raises: UsageError where more is asked for than the model was trained for: engines cap it."""
    if wish.context_tokens is None:
        return
    if engine == VLLM:
        trained = max(vllm.config(one.shape).native_context for one in candidates)
    else:
        trained = max(hparams.read(one.shape).native_context for one in candidates)
    if wish.context_tokens > trained:
        raise UsageError(
            f"{model} was trained for a context of {trained} tokens, {wish.context_tokens} were asked for",
            hint=f"give --context {trained} or less",
        )


def by_quality(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda one: (quality.loss(one), one.weights.size_bytes))


def wanted_context(candidates: Sequence[Candidate], wish: Wish) -> int:
    """Tokens per sequence: as asked; else 32k, or what the model was trained for."""
    if wish.context_tokens:
        return wish.context_tokens
    native = max(hparams.read(one.shape).native_context for one in candidates)
    return min(DEFAULT_CONTEXT_TOKENS, native)


def contexts(candidates: Sequence[Candidate], wish: Wish) -> list[int]:
    """The wanted one; halves of it only where the owner did not ask for one."""
    found = [wanted_context(candidates, wish)]
    while not wish.context_tokens and found[-1] // 2 >= LEAST_CONTEXT_TOKENS:
        found.append(found[-1] // 2)
    return found


def best(found: Sequence[Option], wish: Wish) -> Option:
    """The least loss that decodes at the wished speed; without a wish the quickest tier that a usable
    quant reaches. Too slow all: of usable quants the fastest, or a better one that is nearly as fast."""
    for target, most_loss in tiers(wish):
        quick = [
            option
            for option in found
            if option.loss <= most_loss and (option.decode is None or option.decode >= target)
        ]
        if quick:
            least = min(option.loss for option in quick)
            return plainest([option for option in quick if option.loss <= least + quality.SAME])
    usable = [option for option in found if option.loss <= USABLE_LOSS] or list(found)
    fastest = max(option.decode or 0.0 for option in usable)
    near = [option for option in usable if (option.decode or 0.0) >= NEARLY * fastest]
    return min(near, key=lambda option: option.loss)


def tiers(wish: Wish) -> tuple[tuple[float, float], ...]:
    """Tokens/s, and the loss that is acceptable at it."""
    if wish.min_decode_tokens_per_s:
        return ((wish.min_decode_tokens_per_s, quality.UNBOUNDED),)
    return ((COMFORTABLE_TOKENS_PER_S, GOOD_LOSS), (READING_TOKENS_PER_S, USABLE_LOSS))


def plainest(alike: Sequence[Option]) -> Option:
    """The first is the plainest; another must be faster by more than a little."""
    chosen = alike[0]
    for option in alike[1:]:
        if option.decode and chosen.decode and option.decode > chosen.decode * WORTH:
            chosen = option
    return chosen
