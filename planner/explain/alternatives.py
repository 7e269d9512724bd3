"""What was not chosen, each with its price: better quants, another cache type, faster quants, another
engine."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

from domain.launches.plan import Alternative
from domain.models.model import ResolvedModel
from domain.units import gib, percent, rate
from planner.choose import quality
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.choose.quality import INDISTINGUISHABLE_LOSS, INDISTINGUISHABLE_LOSS_IN_BATCH
from planner.engine import ENGINES
from planner.machine.gpu_budgets import total_budget_bytes

MAX_ALTERNATIVES = 3
WORTHWHILE_SPEEDUP = 1.1  # a worse quant must be at least this much faster


def alternatives(
    chosen: Candidate,
    candidates: Sequence[Candidate],
    models: Sequence[ResolvedModel],
    priced_only: Sequence[Candidate],
    search: SearchContext,
) -> tuple[Alternative, ...]:
    """The next better quant, another cache type and the best faster quant; more of the same if one is
    missing.

    Another engine comes on top of these three."""
    better = _better_quants(chosen, candidates, models, search)
    cache = _other_cache_types(chosen, candidates, search)
    faster = _faster_quants(chosen, candidates, search)
    one_of_each = [one for kind in (better, cache, faster) for one in islice(kind, 1)]
    # the rest is not searched where it would not be told
    same_engine = islice(chain(one_of_each, better, faster), MAX_ALTERNATIVES)
    return (*same_engine, *_other_engine(chosen, [*candidates, *priced_only], search))


def _better_quants(
    chosen: Candidate, candidates: Sequence[Candidate], models: Sequence[ResolvedModel], search: SearchContext
) -> Iterator[Alternative]:
    """The closest first; of a quant with several candidates the fastest."""
    same_engine = [model for model in models if model.engine == chosen.engine]
    for model in sorted(same_engine, key=lambda model: (-quality.loss(model), model.weights.size_bytes)):
        if quality.loss(model) >= chosen.loss - INDISTINGUISHABLE_LOSS:
            continue
        own = [candidate for candidate in candidates if candidate.model is model]
        if not own:  # it could not win, and was not searched
            own = list(ENGINES[chosen.engine].find_candidates(model, chosen.context_tokens, search))
        if own:
            fastest = max(own, key=_speed)
            matched = ENGINES[chosen.engine].with_batch_of(fastest, chosen, search)
            yield _better_but_slower(matched, chosen)
        else:
            yield _too_large(model, chosen, search)


def _speed(candidate: Candidate) -> float:
    return candidate.tokens_per_s or 0.0


def _slowdown(candidate: Candidate, chosen: Candidate) -> str:
    """Both speeds, if the candidate is slower than what was chosen; else empty."""
    own, other = candidate.tokens_per_s, chosen.tokens_per_s
    return f"{rate(own)} instead of {rate(other)} tokens/s" if own and other and own < other else ""


def _better_but_slower(candidate: Candidate, chosen: Candidate) -> Alternative:
    more_bytes = candidate.needed_bytes - chosen.needed_bytes
    size = f"needs {gib(more_bytes)} more" if more_bytes > 0 else ""
    parts = [part for part in (size, _slowdown(candidate, chosen)) if part]
    if not parts:
        return _priced(candidate, candidate.quant, "gains nothing")
    gain = f"adds only about {percent(candidate.loss)} to the perplexity, not {percent(chosen.loss)}"
    return _priced(candidate, candidate.quant, f"{' and '.join(parts)}, but {gain}")


def _too_large(model: ResolvedModel, chosen: Candidate, search: SearchContext) -> Alternative:
    needed_bytes = ENGINES[model.engine].min_bytes(model, chosen.context_tokens, search)
    budget_bytes = total_budget_bytes(search.hardware, search.reserve)
    if budget_bytes is None or needed_bytes <= budget_bytes:
        return Alternative(model.weights.quant, "no split of it fits here", None, needed_bytes)
    why = f"needs {gib(needed_bytes - budget_bytes)} more than is available"
    from_disk = _from_disk(model, chosen, search)
    if from_disk is not None and from_disk.decode_tokens_per_s:
        why += f"; from the disk {rate(from_disk.decode_tokens_per_s)} tokens/s"
    return Alternative(model.weights.quant, why, None, needed_bytes)


def _from_disk(model: ResolvedModel, chosen: Candidate, search: SearchContext) -> Candidate | None:
    engine = ENGINES[model.engine]
    if not engine.CAN_READ_FROM_DISK:
        return None
    disk_search = replace(search, from_disk=True, overhead_hints={})
    return next(iter(engine.find_candidates(model, chosen.context_tokens, disk_search)), None)


def _other_cache_types(
    chosen: Candidate, candidates: Sequence[Candidate], search: SearchContext
) -> Iterator[Alternative]:
    engine = ENGINES[chosen.engine]
    default, *_ = cache_types = engine.cache_types(chosen.model)
    for cache_type in cache_types:
        if cache_type == chosen.cache_type:
            continue
        own = (candidate for candidate in candidates if candidate.model is chosen.model)
        same = next((candidate for candidate in own if candidate.cache_type == cache_type), None)
        matched = engine.with_batch_of(same, chosen, search) if same else None
        longest = engine.max_context_tokens(chosen, search, cache_type)
        if cache_type == default:
            why = f"without {chosen.cache_type} KV the context is at most {longest}"
            if matched and (rates := _slowdown(matched, chosen)):
                why += f", or {chosen.context_tokens} at {rates}"
        else:
            now = engine.max_context_tokens(chosen, search)
            if longest <= now:
                continue
            why = f"holds up to {longest} tokens instead of {now}, with less accuracy in long contexts"
        what = f"{chosen.quant} with {cache_type} cache"
        yield _priced(matched, what, why) if matched else Alternative(what, why)


def _faster_quants(
    chosen: Candidate, candidates: Sequence[Candidate], search: SearchContext
) -> Iterator[Alternative]:
    """The least loss first. A larger batch only takes memory, so what is too slow with a small one is not
    tried with it."""
    quants = set()
    least_speed = WORTHWHILE_SPEEDUP * (chosen.tokens_per_s or math.inf)
    worse = (candidate for candidate in candidates if candidate.engine == chosen.engine)
    worse = (candidate for candidate in worse if candidate.loss > chosen.loss)
    for candidate in sorted(worse, key=lambda candidate: (candidate.loss, -_speed(candidate))):
        if candidate.quant in quants or _speed(candidate) <= least_speed:
            continue
        matched = ENGINES[chosen.engine].with_batch_of(candidate, chosen, search)
        if _speed(matched) <= least_speed:
            continue
        quants.add(matched.quant)
        yield _faster_but_worse(matched, chosen)


def _faster_but_worse(candidate: Candidate, chosen: Candidate) -> Alternative:
    rates = f"{rate(_speed(candidate))} instead of {rate(_speed(chosen))} tokens/s"
    fewer_bytes = chosen.needed_bytes - candidate.needed_bytes
    size = f" and {gib(fewer_bytes)} less" if fewer_bytes > 0 else ""
    return _priced(candidate, candidate.quant, f"{rates}{size}, but {_added_loss(candidate, chosen)}")


def _added_loss(candidate: Candidate, chosen: Candidate) -> str:
    return f"adds about {percent(candidate.loss)} to the perplexity, not {percent(chosen.loss)}"


def _other_engine(
    chosen: Candidate, candidates: Sequence[Candidate], search: SearchContext
) -> Iterator[Alternative]:
    """The fastest of another engine's quants that are as good as this one; else of its best."""
    others = [candidate for candidate in candidates if candidate.engine != chosen.engine]
    if not others:
        return
    least_loss = min(candidate.loss for candidate in others)
    as_good = [
        candidate for candidate in others if candidate.loss <= chosen.loss + INDISTINGUISHABLE_LOSS_IN_BATCH
    ]
    best = [candidate for candidate in others if candidate.loss <= least_loss + INDISTINGUISHABLE_LOSS]
    fastest = max(as_good or best, key=_speed)
    parts = [f"{gib(fastest.needed_bytes)} instead of {gib(chosen.needed_bytes)}"]
    if fastest.tokens_per_s and chosen.tokens_per_s:
        each = " each" if search.parallel > 1 else ""
        parts.insert(0, f"{rate(fastest.tokens_per_s)} instead of {rate(chosen.tokens_per_s)} tokens/s{each}")
    if fastest.loss > chosen.loss + INDISTINGUISHABLE_LOSS:
        parts.append(_added_loss(fastest, chosen))
    yield _priced(fastest, f"{fastest.engine} with {fastest.quant}", ", ".join(parts))


def _priced(candidate: Candidate, what: str, why: str) -> Alternative:
    return Alternative(what, why, candidate.decode_tokens_per_s, candidate.needed_bytes)
