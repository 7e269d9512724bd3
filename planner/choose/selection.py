"""The best of some candidates, by what each is worth to its owner."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import inf, log2

from domain.launches.plan import LaunchOptions
from planner.choose.candidates import Candidate
from planner.choose.context import WORTHWHILE_GAIN
from planner.choose.value import value, value_by_size

WORTHWHILE_DOUBLINGS = log2(WORTHWHILE_GAIN)


def select_best(candidates: Sequence[Candidate], options: LaunchOptions) -> Candidate:
    """The most valuable, of those that decode at the requested speed if there are any; else the fastest.

    Of one model's candidates the first is the plainest; another one must be clearly better. Where no speed is
    known, what GPUs hold whole, and of that the best for its bytes."""
    target = options.min_decode_tokens_per_s
    fast = [candidate for candidate in candidates if not target or (candidate.tokens_per_s or 0.0) >= target]
    if not fast:
        return max(candidates, key=lambda candidate: candidate.tokens_per_s or 0.0)
    ranked = list(_plainest(fast, options))
    if all(value(candidate, options) == -inf for candidate in ranked):
        return max(ranked, key=lambda candidate: (candidate.is_offloaded, value_by_size(candidate, options)))
    return max(ranked, key=lambda candidate: value(candidate, options))


def _plainest(candidates: Iterable[Candidate], options: LaunchOptions) -> Iterable[Candidate]:
    """One of each model and context."""
    for _, group in groupby(
        candidates, key=lambda candidate: (id(candidate.model), candidate.context_tokens)
    ):
        chosen, *others = group
        for other in others:
            if value(other, options) > value(chosen, options) + WORTHWHILE_DOUBLINGS:
                chosen = other
        yield chosen
