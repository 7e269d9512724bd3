"""What a context costs: one that was asked for, compared with what would be chosen without it."""

from domain.units import percent, rate
from planner.choose.candidates import Candidate
from planner.choose.quality import INDISTINGUISHABLE_LOSS

SAME_SPEED = 0.98


def asked_context(chosen: Candidate, unasked: Candidate) -> str:
    """``unasked``: what would be chosen had no context been asked for."""
    tokens, free = chosen.context_tokens, unasked.context_tokens
    price = _price(chosen, unasked)
    if price:
        return f"{tokens} tokens of context cost, compared with {free} that would be chosen: {price}"
    if free > tokens:
        return f"{free} tokens of context would cost nothing"
    return f"{tokens} tokens of context, as asked, cost nothing else" if tokens > free else ""


def _price(chosen: Candidate, unasked: Candidate) -> str:
    parts = []
    if chosen.loss > unasked.loss + INDISTINGUISHABLE_LOSS:
        losses = f"about {percent(chosen.loss)} of perplexity instead of {percent(unasked.loss)}"
        parts.append(f"{chosen.quant} instead of {unasked.quant} ({losses})")
    if unasked.is_offloaded and not chosen.is_offloaded:
        parts.append("a part of the model leaves the GPU")
    if chosen.cache_type != unasked.cache_type and chosen.context_tokens > unasked.context_tokens:
        parts.append(f"a cache in {chosen.cache_type} instead of {unasked.cache_type}")
    own, other = chosen.tokens_per_s, unasked.tokens_per_s
    if own and other and own < SAME_SPEED * other:
        parts.append(f"{rate(own)} instead of {rate(other)} tokens/s")
    return ", ".join(parts)
