"""What a candidate is worth to its owner: turns per hour, less what its quant loses, plus its context.

docs/planning.md has the sources of the figures and a choice computed by hand.
"""

from dataclasses import dataclass
from math import inf, log2

from domain.launches.plan import LaunchOptions
from planner.choose.candidates import Candidate


@dataclass(frozen=True, slots=True)
class Use:
    """A turn. ``prompt_tokens``: of the prompt that no cache has. ``answer_tokens``: with thinking.
    ``taken_in_tokens_per_s``: how fast the owner takes the answer in, which bounds what speed is worth.
    ``context_tokens``: that are wanted if none were asked for."""

    prompt_tokens: int
    answer_tokens: int
    taken_in_tokens_per_s: float
    context_tokens: int


USES = {
    "chat": Use(2048, 600, 60.0, 32768),
    "agent": Use(8192, 600, 150.0, 65536),
    "batch": Use(2048, 600, inf, 32768),
}
DEFAULT_USE = "chat"

# In doublings of turns per hour: a percent of perplexity lost, up to the knee and beyond it, and twice the
# context. LOSS_COST was set by 30 published commands: of a third, the quants of 16 are in the class of what
# is chosen, of a quarter 19, of less no more (docs/planning.md).
LOSS_COST = 1 / 4
KNEE_PERCENT = 3.0
STEEP_LOSS_COST = 0.4
CONTEXT_WORTH = 0.1
# Prompts are read at least so many times as fast as answers are written, in 19 of 20 published runs
# (tests/captures/bench.json): what is counted where only the latter is known.
LEAST_PREFILL_OVER_DECODE = 3.0
LEAST_CONTEXT_TOKENS = 8192  # that is chosen; less only if asked for
# How much a loss counts, by the word of ``--quality``.
LOSS_WEIGHTS = {"fast": 0.3}


def use_of(options: LaunchOptions) -> Use:
    return USES[options.use or DEFAULT_USE]


def turn_s(candidate: Candidate, use: Use, *, speedup: float = 1.0) -> float | None:
    """Seconds of a turn at the low end of the predicted range, with the time that the owner takes;
    ``None`` if the speed is not known. Of several sequences served at once it is the answer's alone, since
    prompts are read while others are answered. Of an embedding or reranking model it is the prompt alone.
    ``speedup``: of decode."""
    prefill = candidate.estimate.speed.prefill_tokens_per_s
    if candidate.model.weights.kind.is_pooled:
        return use.prompt_tokens / prefill.low if prefill and prefill.low else None
    if candidate.batch_tokens_per_s:
        each = candidate.batch_tokens_per_s / candidate.parallel * speedup
        return use.answer_tokens / each + use.answer_tokens / use.taken_in_tokens_per_s
    decode = candidate.low_tokens_per_s
    if not decode:
        return None
    prompt_s = use.prompt_tokens / (prefill.low if prefill else LEAST_PREFILL_OVER_DECODE * decode)
    return prompt_s + use.answer_tokens / (decode * speedup) + use.answer_tokens / use.taken_in_tokens_per_s


def value_by_size(candidate: Candidate, options: LaunchOptions) -> float:
    """For comparison of candidates whose speeds are all unknown: half the bytes are read in half the
    time."""
    return _worth(float(max(1, candidate.model.weights.size_bytes)), candidate.loss, 1, options)


def loss_cost(loss: float) -> float:
    """Of ``loss`` percent of perplexity."""
    return LOSS_COST * min(loss, KNEE_PERCENT) + STEEP_LOSS_COST * max(0.0, loss - KNEE_PERCENT)


def value(candidate: Candidate, options: LaunchOptions) -> float:
    """In doublings; less is minus infinity where the speed is not known."""
    seconds = turn_s(candidate, use_of(options))
    return -inf if seconds is None else _worth(seconds, candidate.loss, candidate.context_tokens, options)


def value_bound(
    loss: float, size: int, whole: Candidate | None, context_tokens: int, options: LaunchOptions
) -> float:
    """The most that a quant of ``size`` bytes can be worth. ``whole``: a candidate of another quant with all
    weights in the fastest memory, which one of fewer bytes reads faster in proportion at best."""
    use = use_of(options)
    seconds: float | None = use.answer_tokens / use.taken_in_tokens_per_s
    if whole is not None:
        seconds = turn_s(whole, use, speedup=max(1.0, whole.model.weights.size_bytes / max(1, size)))
    return _worth(seconds, loss, context_tokens, options) if seconds else inf


def _worth(seconds: float, loss: float, context_tokens: int, options: LaunchOptions) -> float:
    weight = LOSS_WEIGHTS.get((options.quality or "").lower(), 1.0)
    doublings = log2(3600 / seconds) + CONTEXT_WORTH * log2(max(1, context_tokens) / LEAST_CONTEXT_TOKENS)
    return doublings - weight * loss_cost(loss)
