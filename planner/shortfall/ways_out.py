"""What fits this machine in place of what was asked for, each with what it gives up."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from domain.errors import NodeError
from domain.launches.plan import LaunchOptions
from domain.models.model import ResolvedModel
from domain.units import percent, rate
from planner.choose import choose, quality
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.choose.contexts import extend
from planner.choose.quality import INDISTINGUISHABLE_LOSS
from planner.engine import ENGINES


def ways_out(name: str, models: Sequence[ResolvedModel], search: SearchContext) -> Iterator[str]:
    """Of what was asked for, one thing given up at a time; all of it where that is not enough. ``models``
    are all quants and engines, whatever ``search.options`` ask for."""
    asked = _asked(models, search)
    found = [
        (words, best)
        for words, options in _relaxed(search.options)
        if (best := _best(name, models, search, options)) is not None
    ]
    for words, best in found:
        told = words.format(tokens=best.context_tokens)
        yield f"{told}: {describe(best, search)}{_given_up(best, asked, search)}"
    if not found and (best := _best(name, models, search, _nothing_asked(search.options))) is not None:
        yield f"with all of these left out: {describe(best, search)}{_given_up(best, asked, search)}"


def from_disk(models: Sequence[ResolvedModel], context_tokens: int, search: SearchContext) -> Iterator[str]:
    """The last resort, unless it was asked for: it is slow."""
    if search.options.from_disk:
        return
    for best in choose.from_disk_candidates(models, context_tokens, search)[-1:]:
        speed = best.decode_tokens_per_s
        how_fast = f"about {rate(speed)} tokens/s" if speed else "at an unknown speed"
        what = f"{best.quant}, {best.context_tokens} tokens of context"
        yield f"--from-disk: {what}, read from the disk for each token, {how_fast}"


def describe(candidate: Candidate, search: SearchContext) -> str:
    """Its quant, context, placement and speed."""
    details = ENGINES[candidate.engine].describe(candidate, search)
    speed = candidate.decode_tokens_per_s
    parts = [
        f"{candidate.quant} on {candidate.engine}",
        f"{candidate.context_tokens} tokens of context",
        details.placement,
        f"about {rate(speed)} tokens/s" if speed else "speed unknown",
    ]
    return ", ".join(part for part in parts if part)


def _relaxed(options: LaunchOptions) -> Iterator[tuple[str, LaunchOptions]]:
    if options.quality or options.min_quality:
        yield "another quant", replace(options, quality=None, min_quality=None)
    if options.context_tokens or options.min_context_tokens or not options.max_context:
        yield "--context {tokens}, the longest with all else", _longest_context(options)
    if (options.parallel or 1) > 1:
        yield "--parallel 1", replace(options, parallel=None)
    if options.engine:
        yield "another engine", replace(options, engine=None)


def _longest_context(options: LaunchOptions) -> LaunchOptions:
    return replace(options, context_tokens=None, min_context_tokens=None, max_context=True)


def _nothing_asked(options: LaunchOptions) -> LaunchOptions:
    free = replace(options, quality=None, min_quality=None, parallel=None, engine=None)
    return _longest_context(free)


def _best(
    name: str, models: Sequence[ResolvedModel], search: SearchContext, options: LaunchOptions
) -> Candidate | None:
    """Of usable quants, where none was named. ``None`` if nothing fits."""
    options = replace(options, min_decode_tokens_per_s=None)
    if not options.quality:
        models = [model for model in models if quality.loss(model) <= choose.USABLE_LOSS]
    if not models:
        return None
    try:
        best = choose.find_best(
            name, models, search.hardware, options, calibration=search.calibration, reserve=search.reserve
        )
    except NodeError:
        return None
    return extend(best, replace(search, options=options, overhead_hints={})) if best else None


def _asked(models: Sequence[ResolvedModel], search: SearchContext) -> ResolvedModel | None:
    """The quant that was named."""
    named = (search.options.quality or "").upper()
    return next((model for model in models if model.weights.quant.upper() == named), None)


def _given_up(best: Candidate, asked: ResolvedModel | None, search: SearchContext) -> str:
    parts, wanted = [], search.options.context_tokens or search.options.min_context_tokens
    if wanted and wanted > best.context_tokens:
        parts.append(f"{wanted - best.context_tokens} of {wanted} tokens of context are given up")
    if asked is not None and best.loss > quality.loss(asked) + INDISTINGUISHABLE_LOSS:
        loss = f"adds about {percent(best.loss)} to the perplexity"
        parts.append(f"{loss}, {asked.weights.quant} {percent(quality.loss(asked))}")
    return f"; {'; '.join(parts)}" if parts else ""
