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
from planner.llama_cpp import search, split_search
from planner.llama_cpp.search import SearchContext

MOST = 3
FASTER = 1.1  # below that a worse quant buys nothing


def alternatives(
    chosen: Candidate,
    found: Sequence[Candidate],
    candidates: Sequence[ResolvedModel],
    priced: Sequence[Candidate],
    case: SearchContext,
) -> tuple[Alternative, ...]:
    """The three best: the next better quant, another type of cache, the best faster quant; more of the same
    where one is missing. The other engine comes on top."""
    better = list(islice(_better(chosen, found, candidates, case), MOST))
    cache = list(_other_cache(chosen, found, case))
    faster = list(islice(_faster(chosen, found, case), MOST))
    first = [*better[:1], *cache[:1], *faster[:1]]
    more = [*better[1:], *faster[1:]]
    said = [*first, *more][:MOST]
    return (*said, *_other_engine(chosen, [*found, *priced], case))


def _better(
    chosen: Candidate, found: Sequence[Candidate], candidates: Sequence[ResolvedModel], case: SearchContext
) -> Iterator[Alternative]:
    """The nearest first. Of a quant with several options the fastest."""
    same = [one for one in candidates if one.engine == chosen.engine]
    for one in sorted(same, key=lambda one: (-quality.loss(one), one.weights.size_bytes)):
        if quality.loss(one) >= chosen.loss - quality.SAME:
            continue
        of = [option for option in found if option.candidate is one]
        if of:
            yield _slower(_alike(max(of, key=lambda option: option.pace or 0.0), chosen, case), chosen)
        else:
            yield _unfit(one, chosen, case)


def _alike(option: Candidate, chosen: Candidate, case: SearchContext) -> Candidate:
    """``option`` with the batch of ``chosen`` where weights stay on the host, so that prices are of one kind;
    as it is where that batch does not hold."""
    ours, own = chosen.flags, option.flags
    if not (isinstance(ours, LlamaFlags) and isinstance(own, LlamaFlags) and option.has_host_weights):
        return option
    if own.ubatch == ours.ubatch:
        return option
    return search.at_batch(option, ours.ubatch or search.UBATCH, case) or option


def _slower(option: Candidate, chosen: Candidate) -> Alternative:
    more = option.needed_bytes - chosen.needed_bytes
    parts = [f"needs {gib(more)} more"] if more > 0 else []
    if option.pace and chosen.pace and option.pace < chosen.pace:
        parts.append(f"{rate(option.pace)} instead of {rate(chosen.pace)} tokens/s")
    return _priced(option, option.quant, " and ".join(parts) or "gains nothing that counts")


def _unfit(one: ResolvedModel, chosen: Candidate, case: SearchContext) -> Alternative:
    needed = minimum.least_bytes(one, chosen.context_tokens, case)
    room = split_search.total_room_bytes(case.hardware, case.reserve)
    lacks = None if room is None else needed - room
    why = f"needs {gib(lacks)} more than there is" if lacks and lacks > 0 else "no split of it holds here"
    lazy = _from_disk(one, chosen, case) if lacks and lacks > 0 else None
    if lazy is not None and lazy.decode:
        why += f"; from the disk {rate(lazy.decode)} tokens/s"
    return Alternative(one.weights.quant, why, None, needed)


def _from_disk(one: ResolvedModel, chosen: Candidate, case: SearchContext) -> Candidate | None:
    if one.engine != LLAMA_CPP:
        return None
    lazy = replace(case, from_disk=True, taken={})
    return next(iter(search.options(one, chosen.context_tokens, lazy)), None)


def _other_cache(chosen: Candidate, found: Sequence[Candidate], case: SearchContext) -> Iterator[Alternative]:
    for kind in max_context.kinds(chosen.flags):
        if kind == chosen.cache_type:
            continue
        most = max_context.longest(chosen, case, kind)
        own = next(
            (one for one in found if one.candidate is chosen.candidate and one.cache_type == kind), None
        )
        own = own and _alike(own, chosen, case)
        plain = max_context.kinds(chosen.flags)[0]
        what = f"{chosen.quant} with {kind} cache"
        if kind == plain:
            why = f"without {chosen.cache_type} KV the context is {most}"
            if own and own.pace and chosen.pace and own.pace < chosen.pace:
                rates = f"{rate(own.pace)} instead of {rate(chosen.pace)} tokens/s"
                why += f", or {chosen.context_tokens} at {rates}"
        else:
            now = max_context.longest(chosen, case)
            if most <= now:
                continue
            why = f"holds up to {most} tokens instead of {now}, at some accuracy in long contexts"
        yield Alternative(what, why, own.decode if own else None, own.needed_bytes if own else None)


def _faster(chosen: Candidate, found: Sequence[Candidate], case: SearchContext) -> Iterator[Alternative]:
    """The least loss first. A larger batch only takes room, so that what is too slow with a small one is
    not tried with it."""
    seen = set()
    now = chosen.pace or math.inf
    for own in sorted(found, key=lambda one: (one.loss, -(one.pace or 0.0))):
        is_worse = own.engine == chosen.engine and own.loss > chosen.loss
        if own.quant in seen or not is_worse or (own.pace or 0.0) <= FASTER * now:
            continue
        option = _alike(own, chosen, case)
        pace = option.pace or 0.0
        if pace <= FASTER * now:
            continue
        seen.add(option.quant)
        less = chosen.needed_bytes - option.needed_bytes
        size = f" and {gib(less)} less" if less > 0 else ""
        loses = f"adds {option.loss:.2g} to the perplexity, not {chosen.loss:.2g}"
        yield _priced(
            option, option.quant, f"{rate(pace)} instead of {rate(now)} tokens/s{size}, but {loses}"
        )


def _other_engine(
    chosen: Candidate, options: Sequence[Candidate], case: SearchContext
) -> Iterator[Alternative]:
    """The best of the other engine's quants that are good as this one; else its best."""
    others = [one for one in options if one.engine != chosen.engine]
    if not others:
        return
    alike = [one for one in others if one.loss <= chosen.loss + quality.SAME_AT_ONCE]
    least = min(one.loss for one in others)
    option = max(
        alike or [one for one in others if one.loss <= least + quality.SAME], key=lambda one: one.pace or 0.0
    )
    parts = [f"{gib(option.needed_bytes)} instead of {gib(chosen.needed_bytes)}"]
    if option.pace and chosen.pace:
        each = " each" if case.parallel > 1 else ""
        parts.insert(0, f"{rate(option.pace)} instead of {rate(chosen.pace)} tokens/s{each}")
    if option.loss > chosen.loss + quality.SAME:
        parts.append(f"adds {option.loss:.2g} to the perplexity, not {chosen.loss:.2g}")
    yield _priced(option, f"{option.engine} with {option.quant}", ", ".join(parts))


def _priced(option: Candidate, what: str, why: str) -> Alternative:
    return Alternative(what, why, option.decode, option.needed_bytes)
