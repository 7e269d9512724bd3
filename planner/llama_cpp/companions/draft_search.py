"""Whether a draft pays for a chosen candidate, by prediction: the first start measures it."""

from collections.abc import Iterator
from dataclasses import replace

from domain.launches.plan import LlamaFlags
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.llama_cpp.companions import second_files
from planner.llama_cpp.companions.second_files import Draft
from planner.llama_cpp.estimate import estimate

TOKENS = (1, 2, 3)  # that are drafted at a time: 3 is the engine's own default
MIN_GAIN = 1.1  # expected, and measured at the first start: less may be noise


def with_draft(candidate: Candidate, search: SearchContext) -> Candidate:
    """``candidate`` with the draft expected to gain most; unchanged if none that fits gains enough."""
    plain = candidate.decode_tokens_per_s
    if plain is None or search.from_disk or search.parallel > 1:
        return candidate
    tried = list(_variants(candidate, search))
    best = max(tried, key=lambda one: one.decode_tokens_per_s or 0.0, default=candidate)
    return best if (best.decode_tokens_per_s or 0.0) >= MIN_GAIN * plain else candidate


def _variants(candidate: Candidate, search: SearchContext) -> Iterator[Candidate]:
    for draft in second_files.drafts(candidate.model, search.options, search.hardware):
        for tokens in TOKENS:
            variant = _variant(candidate, draft, tokens, search)
            if search.has_room(variant.estimate.memory):
                yield variant


def _variant(candidate: Candidate, draft: Draft, tokens: int, search: SearchContext) -> Candidate:
    model, flags = candidate.model, candidate.flags
    if not isinstance(flags, LlamaFlags):
        raise TypeError(f"{candidate.engine} flags were given to llama.cpp's planner")
    flags = second_files.with_draft(flags, draft, tokens)
    shapes = second_files.shapes(model, flags)
    prediction = estimate(model.shape, flags, search.hardware, calibration=search.calibration, **shapes)
    return replace(candidate, flags=flags, estimate=prediction)
