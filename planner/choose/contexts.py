"""How long a context is wanted, which shorter ones will do, and how long it can be for nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from domain.errors import UsageError
from domain.launches.plan import HOST, LaunchOptions
from domain.models.classification import mtp_layers_of
from domain.models.kinds import Kind
from domain.models.model import ResolvedModel
from planner.choose.candidates import Candidate
from planner.choose.context import CONTEXT_STEP_TOKENS, SearchContext
from planner.choose.value import LEAST_CONTEXT_TOKENS, use_of
from planner.engine import ENGINES

LEAST_MAX_TOKENS = 1024  # of a context that was asked for as the most that fits
TEXT_TOKENS = 8192  # longer texts are cut into pieces by those who embed them
NEARLY_AS_FAST = 0.9
HOST_SHARE = 0.5  # of the RAM that is left, for a context that nobody asked for


def trained_context_tokens(models: Sequence[ResolvedModel]) -> int:
    return max(ENGINES[model.engine].trained_context_tokens(model.shape) for model in models)


def check_context(name: str, models: Sequence[ResolvedModel], options: LaunchOptions) -> None:
    """Raises: UsageError for a longer context than the model was trained for, which engines would cap, and
    for one that is shorter than the least that was asked for."""
    asked, least = options.context_tokens, options.min_context_tokens
    if asked and least and asked < least:
        raise UsageError(
            f"a context of {asked} tokens is less than the least of {least}",
            hint=f"give --min-context {asked} or less",
        )
    wanted = asked or least
    trained = trained_context_tokens(models) if wanted else 0
    if wanted and wanted > trained:
        raise UsageError(
            f"{name} was trained for a context of {trained} tokens, {wanted} were asked for",
            hint=f"give {'--context' if asked else '--min-context'} {trained} or less",
        )


def wanted_context(models: Sequence[ResolvedModel], options: LaunchOptions) -> int:
    """Tokens per sequence: as asked, else what the use wants or the model was trained for. Of texts that are
    embedded or ranked 8k."""
    if options.max_context:
        return trained_context_tokens(models)
    is_pooled = any(model.weights.kind.is_pooled for model in models)
    default = TEXT_TOKENS if is_pooled else use_of(options).context_tokens
    usual = max(default, options.min_context_tokens or 0)
    return options.context_tokens or min(usual, trained_context_tokens(models))


def contexts_to_try(wanted: int, options: LaunchOptions) -> list[int]:
    """The wanted context, and halves of it if the owner did not give a number, down to the least he takes."""
    usual = LEAST_MAX_TOKENS if options.max_context else LEAST_CONTEXT_TOKENS
    contexts, least = [wanted], options.min_context_tokens or usual
    while not options.context_tokens and contexts[-1] // 2 >= least:
        contexts.append(contexts[-1] // 2)
    if options.min_context_tokens and not options.context_tokens and contexts[-1] > least:
        contexts.append(least)
    return contexts


def extend(chosen: Candidate, search: SearchContext) -> Candidate:
    """``chosen`` with the longest context that costs nothing: no layer, cache type or tenth of the speed, and
    at most half of the RAM that is left. Unchanged if the owner gave a number, and whatever it costs if he
    asked for the most."""
    if search.options.max_context and not chosen.model.weights.kind.is_pooled:
        return _longest_of_all(chosen, search)
    return next(extensions(chosen, search), chosen)


def extensions(
    chosen: Candidate, search: SearchContext, beside: Candidate | None = None
) -> Iterator[Candidate]:
    """``chosen`` with each longer context that costs nothing, the longest first. ``beside``: with room for
    what this one has more."""
    if search.options.asks_for_context or chosen.model.weights.kind.is_pooled:
        return
    engine, search = ENGINES[chosen.engine], replace(search, cache_type=chosen.cache_type)
    longest = engine.max_context_tokens(beside or chosen, search)
    for tokens in _round_contexts(longest, engine.trained_context_tokens(chosen.model.shape)):
        if tokens <= chosen.context_tokens:
            break
        longer = engine.find_candidates(chosen.model, tokens, search)
        yield from (candidate for candidate in longer if _costs_nothing(candidate, chosen))


def _longest_of_all(chosen: Candidate, search: SearchContext) -> Candidate:
    """``chosen`` with the most tokens that any split and cache type holds at the wanted speed, of the ways to
    hold them the fastest."""
    engine, longest = ENGINES[chosen.engine], chosen
    least = search.options.min_decode_tokens_per_s
    low = chosen.context_tokens // CONTEXT_STEP_TOKENS
    high = engine.trained_context_tokens(chosen.model.shape) // CONTEXT_STEP_TOKENS
    high = min(high, 2 * low)  # twice as many were tried before
    while low < high:
        middle = (low + high + 1) // 2
        every = engine.find_candidates(chosen.model, middle * CONTEXT_STEP_TOKENS, search)
        found = [one for one in every if not least or (one.tokens_per_s or 0.0) >= least]
        if found:
            longest, low = max(found, key=lambda candidate: candidate.low_tokens_per_s or 0.0), middle
        else:
            high = middle - 1
    return longest


def extend_and_tune(chosen: Candidate, search: SearchContext) -> Candidate:
    """``chosen`` as it is served: with the longest context that costs nothing, and what its engine's planner
    adds. A draft that makes it faster goes before a longer context, which takes the memory of one."""
    tune = ENGINES[chosen.engine].tune
    longest = tune(extend(chosen, search), search)
    is_as_asked = search.options.asks_for_context or longest.context_tokens == chosen.context_tokens
    if is_as_asked or not _may_draft(chosen.model):
        return longest
    shortest = tune(chosen, search)
    if _is_nearly_as_fast(longest, shortest):
        return longest
    tuned = (tune(longer, search) for longer in extensions(chosen, search, shortest))
    return next((longer for longer in tuned if _is_nearly_as_fast(longer, shortest)), shortest)


def _may_draft(model: ResolvedModel) -> bool:
    has_draft = any(companion.role is Kind.DRAFT for companion in model.weights.beside)
    return model.may_draft and (has_draft or mtp_layers_of(model.shape) > 0)


def _is_nearly_as_fast(one: Candidate, other: Candidate) -> bool:
    own, others = one.decode_tokens_per_s, other.decode_tokens_per_s
    return own is None or others is None or own >= NEARLY_AS_FAST * others


def _round_contexts(longest: int, trained: int) -> list[int]:
    """What the model was trained for if that fits, else multiples of 8192; then powers of two."""
    first = trained if longest >= trained else longest - longest % LEAST_CONTEXT_TOKENS
    powers = [1 << bits for bits in range(max(1, first).bit_length() - 1, 12, -1)]
    return [first, *(tokens for tokens in powers if tokens < first)]


def _costs_nothing(longer: Candidate, chosen: Candidate) -> bool:
    own, before = longer.low_tokens_per_s, chosen.low_tokens_per_s
    is_as_fast = own is None or before is None or own >= NEARLY_AS_FAST * before
    placed_alike = _placement(longer) == _placement(chosen)
    return (
        placed_alike and longer.cache_type == chosen.cache_type and is_as_fast and _leaves_ram(longer, chosen)
    )


def _placement(candidate: Candidate) -> tuple[list[bool], int]:
    """The devices that hold weights, and the bytes of the last, the host. GPUs may share otherwise."""
    rows = candidate.estimate.memory
    return [bool(row.weights_bytes) for row in rows], rows[-1].weights_bytes if rows else 0


def _leaves_ram(longer: Candidate, chosen: Candidate) -> bool:
    """A GPU's own memory is for models alone; RAM, and memory shared with it, is not."""
    own, before = longer.estimate.memory[-1], chosen.estimate.memory[-1]
    if own.device != HOST or own.free_bytes is None or before.free_bytes is None:
        return True
    left_before = before.free_bytes - before.needed_bytes
    return own.free_bytes - own.needed_bytes >= (1 - HOST_SHARE) * left_before
