"""What else there was, each with its price: better quants, another cache, faster quants, the other engine."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from domain.model import ResolvedModel
from domain.plan import LLAMA_CPP, Alternative, LlamaFlags
from domain.units import gib, rate
from planner.choose import max_context, minimum, quality
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.llama_cpp import search as llama_cpp_search
from planner.llama_cpp import split_search

MAX_ALTERNATIVES = 3
WORTHWHILE_SPEEDUP = 1.1  # below that a worse quant buys nothing


def alternatives(
    chosen: Candidate,
    candidates: Sequence[Candidate],
    models: Sequence[ResolvedModel],
    priced_only: Sequence[Candidate],
    search: SearchContext,
) -> tuple[Alternative, ...]:
    """The three best: the next better quant, another type of cache, the best faster quant; more of the same
    where one is missing. The other engine comes on top."""
    better = list(islice(_better_quants(chosen, candidates, models, search), MAX_ALTERNATIVES))
    cache = list(_other_cache_types(chosen, candidates, search))
    faster = list(islice(_faster_quants(chosen, candidates, search), MAX_ALTERNATIVES))
    first = [*better[:1], *cache[:1], *faster[:1]]
    more = [*better[1:], *faster[1:]]
    chosen_first = [*first, *more][:MAX_ALTERNATIVES]
    return (*chosen_first, *_other_engine(chosen, [*candidates, *priced_only], search))


def _better_quants(
    chosen: Candidate, candidates: Sequence[Candidate], models: Sequence[ResolvedModel], search: SearchContext
) -> Iterator[Alternative]:
    """The nearest first. Of a quant with several options the fastest."""
    same_engine = [model for model in models if model.engine == chosen.engine]
    for model in sorted(same_engine, key=lambda model: (-quality.loss(model), model.weights.size_bytes)):
        if quality.loss(model) >= chosen.loss - quality.INDISTINGUISHABLE_LOSS:
            continue
        of_model = [candidate for candidate in candidates if candidate.model is model]
        if of_model:
            yield _better_but_slower(
                _with_same_batch(
                    max(of_model, key=lambda candidate: candidate.tokens_per_s or 0.0), chosen, search
                ),
                chosen,
            )
        else:
            yield _too_large(model, chosen, search)


def _with_same_batch(candidate: Candidate, chosen: Candidate, search: SearchContext) -> Candidate:
    """``candidate`` with the batch of ``chosen`` where weights stay on the host, so that prices are of one
    kind; as it is where that batch does not hold."""
    target, flags = chosen.flags, candidate.flags
    if not (isinstance(target, LlamaFlags) and isinstance(flags, LlamaFlags) and candidate.has_host_weights):
        return candidate
    if flags.ubatch == target.ubatch:
        return candidate
    return (
        llama_cpp_search.with_ubatch(candidate, target.ubatch or llama_cpp_search.UBATCH, search) or candidate
    )


def _better_but_slower(candidate: Candidate, chosen: Candidate) -> Alternative:
    more = candidate.needed_bytes - chosen.needed_bytes
    parts = [f"needs {gib(more)} more"] if more > 0 else []
    if candidate.tokens_per_s and chosen.tokens_per_s and candidate.tokens_per_s < chosen.tokens_per_s:
        parts.append(f"{rate(candidate.tokens_per_s)} instead of {rate(chosen.tokens_per_s)} tokens/s")
    return _alternative(candidate, candidate.quant, " and ".join(parts) or "gains nothing that counts")


def _too_large(model: ResolvedModel, chosen: Candidate, search: SearchContext) -> Alternative:
    needed = minimum.min_bytes(model, chosen.context_tokens, search)
    budget = split_search.total_budget_bytes(search.hardware, search.reserve)
    lacks = None if budget is None else needed - budget
    why = f"needs {gib(lacks)} more than there is" if lacks and lacks > 0 else "no split of it holds here"
    from_disk = _from_disk(model, chosen, search) if lacks and lacks > 0 else None
    if from_disk is not None and from_disk.decode_tokens_per_s:
        why += f"; from the disk {rate(from_disk.decode_tokens_per_s)} tokens/s"
    return Alternative(model.weights.quant, why, None, needed)


def _from_disk(model: ResolvedModel, chosen: Candidate, search: SearchContext) -> Candidate | None:
    if model.engine != LLAMA_CPP:
        return None
    disk_search = replace(search, from_disk=True, overhead_hints={})
    return next(iter(llama_cpp_search.find_candidates(model, chosen.context_tokens, disk_search)), None)


def _other_cache_types(
    chosen: Candidate, candidates: Sequence[Candidate], search: SearchContext
) -> Iterator[Alternative]:
    for cache_type in max_context.cache_types(chosen.flags):
        if cache_type == chosen.cache_type:
            continue
        longest = max_context.max_context_tokens(chosen, search, cache_type)
        same_model = next(
            (
                candidate
                for candidate in candidates
                if candidate.model is chosen.model and candidate.cache_type == cache_type
            ),
            None,
        )
        same_model = same_model and _with_same_batch(same_model, chosen, search)
        default = max_context.cache_types(chosen.flags)[0]
        what = f"{chosen.quant} with {cache_type} cache"
        if cache_type == default:
            why = f"without {chosen.cache_type} KV the context is {longest}"
            if (
                same_model
                and same_model.tokens_per_s
                and chosen.tokens_per_s
                and same_model.tokens_per_s < chosen.tokens_per_s
            ):
                rates = f"{rate(same_model.tokens_per_s)} instead of {rate(chosen.tokens_per_s)} tokens/s"
                why += f", or {chosen.context_tokens} at {rates}"
        else:
            now = max_context.max_context_tokens(chosen, search)
            if longest <= now:
                continue
            why = f"holds up to {longest} tokens instead of {now}, at some accuracy in long contexts"
        yield Alternative(
            what,
            why,
            same_model.decode_tokens_per_s if same_model else None,
            same_model.needed_bytes if same_model else None,
        )


def _faster_quants(
    chosen: Candidate, candidates: Sequence[Candidate], search: SearchContext
) -> Iterator[Alternative]:
    """The least loss first. A larger batch only takes room, so that what is too slow with a small one is
    not tried with it."""
    quants = set()
    now = chosen.tokens_per_s or math.inf
    for candidate in sorted(
        candidates, key=lambda candidate: (candidate.loss, -(candidate.tokens_per_s or 0.0))
    ):
        is_worse = candidate.engine == chosen.engine and candidate.loss > chosen.loss
        if (
            candidate.quant in quants
            or not is_worse
            or (candidate.tokens_per_s or 0.0) <= WORTHWHILE_SPEEDUP * now
        ):
            continue
        matched = _with_same_batch(candidate, chosen, search)
        tokens_per_s = matched.tokens_per_s or 0.0
        if tokens_per_s <= WORTHWHILE_SPEEDUP * now:
            continue
        quants.add(matched.quant)
        less = chosen.needed_bytes - matched.needed_bytes
        size = f" and {gib(less)} less" if less > 0 else ""
        loses = f"adds {matched.loss:.2g} to the perplexity, not {chosen.loss:.2g}"
        yield _alternative(
            matched, matched.quant, f"{rate(tokens_per_s)} instead of {rate(now)} tokens/s{size}, but {loses}"
        )


def _other_engine(
    chosen: Candidate, candidates: Sequence[Candidate], search: SearchContext
) -> Iterator[Alternative]:
    """The best of the other engine's quants that are good as this one; else its best."""
    others = [candidate for candidate in candidates if candidate.engine != chosen.engine]
    if not others:
        return
    equally_good = [
        candidate
        for candidate in others
        if candidate.loss <= chosen.loss + quality.INDISTINGUISHABLE_LOSS_IN_BATCH
    ]
    least = min(candidate.loss for candidate in others)
    best = max(
        equally_good
        or [candidate for candidate in others if candidate.loss <= least + quality.INDISTINGUISHABLE_LOSS],
        key=lambda candidate: candidate.tokens_per_s or 0.0,
    )
    parts = [f"{gib(best.needed_bytes)} instead of {gib(chosen.needed_bytes)}"]
    if best.tokens_per_s and chosen.tokens_per_s:
        each = " each" if search.parallel > 1 else ""
        parts.insert(0, f"{rate(best.tokens_per_s)} instead of {rate(chosen.tokens_per_s)} tokens/s{each}")
    if best.loss > chosen.loss + quality.INDISTINGUISHABLE_LOSS:
        parts.append(f"adds {best.loss:.2g} to the perplexity, not {chosen.loss:.2g}")
    yield _alternative(best, f"{best.engine} with {best.quant}", ", ".join(parts))


def _alternative(candidate: Candidate, what: str, why: str) -> Alternative:
    return Alternative(what, why, candidate.decode_tokens_per_s, candidate.needed_bytes)
