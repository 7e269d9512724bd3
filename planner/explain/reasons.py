"""Why a candidate was chosen: quant, context, placement, memory and threads, with numbers."""

from collections.abc import Sequence

from domain.launches.plan import DeviceMemory
from domain.machine.hardware import MemoryKind
from domain.units import duration, gib, percent, rate
from planner.choose.candidates import Candidate, CandidateDetails
from planner.choose.context import SearchContext
from planner.choose.quality import INDISTINGUISHABLE_LOSS
from planner.choose.value import turn_s, use_of
from planner.engine import ENGINES
from planner.explain.context_price import asked_context
from planner.machine import budget


def reasons(
    chosen: Candidate,
    details: CandidateDetails,
    candidates: Sequence[Candidate],
    search: SearchContext,
    *,
    wanted_context: int,
    unasked: Candidate | None,
) -> list[str]:
    sentences = [
        _quant(chosen, candidates),
        _turn(chosen, search),
        _context(chosen, details, search, wanted_context),
        asked_context(chosen, unasked) if unasked else "",
        details.placement,
        _memory(chosen, details.memory_note),
        _reserve(chosen, search),
        _batch(chosen),
        details.runtime,
        *details.second_files,
        _unused_gpus(chosen, search),
    ]
    return [sentence for sentence in sentences if sentence]


def _quant(chosen: Candidate, candidates: Sequence[Candidate]) -> str:
    loss = "has no measurable loss"
    if chosen.loss > INDISTINGUISHABLE_LOSS:
        loss = f"adds about {percent(chosen.loss)} to the perplexity"
    quants = len({candidate.quant for candidate in candidates})
    among = f", the best value of {quants} that fit" if quants > 1 else ""
    speed = "" if chosen.model.weights.kind.is_pooled else ", speed unknown"
    if chosen.decode_tokens_per_s:
        speed = f", about {rate(chosen.decode_tokens_per_s)} tokens/s"
    return f"{chosen.quant} ({gib(chosen.model.weights.size_bytes)}) {loss}{among}{speed}"


def _turn(chosen: Candidate, search: SearchContext) -> str:
    """What quants are compared by."""
    use = use_of(search.options)
    seconds = turn_s(chosen, use)
    if seconds is None or chosen.model.weights.kind.is_pooled or search.parallel > 1:
        return ""
    waiting_s = seconds - use.answer_tokens / use.taken_in_tokens_per_s
    turn = f"{use.prompt_tokens} tokens read and {use.answer_tokens} written"
    return f"a turn ({turn}) takes at most about {duration(waiting_s)}, by which quants are compared"


def _context(chosen: Candidate, details: CandidateDetails, search: SearchContext, wanted_context: int) -> str:
    tokens = chosen.context_tokens
    kv_bytes = sum(row.kv_cache_bytes for row in chosen.estimate.memory)
    each = f" for each of {search.parallel} at once" if search.parallel > 1 else ""
    if details.pool_tokens:
        sure = f"each is sure of {details.guaranteed_tokens}, and may use all {tokens}"
        each = f" ({search.parallel} at once share a pool of {details.pool_tokens} tokens: {sure})"
    longest = ENGINES[chosen.engine].max_context_tokens(chosen, search)
    why = "does not fit with this placement" if longest < wanted_context else "would cost speed or RAM"
    reduced = f", less than {wanted_context}, which {why}" if tokens < wanted_context else ""
    limit = f"; up to {longest} would fit" if longest > tokens else ""
    has_none = chosen.model.weights.kind.is_pooled and not kv_bytes
    cache = "no KV cache" if has_none else f"{details.kv_cache_type} cache of {gib(kv_bytes)}"
    return f"context {tokens} tokens{each}{reduced}, {cache}{limit}"


def _memory(chosen: Candidate, note: str) -> str:
    """An engine reports weights, KV cache and buffers, so these are told apart from the rest."""
    return f"needs {'; '.join(map(_device, chosen.estimate.memory))}{note}"


def _device(row: DeviceMemory) -> str:
    free = f" of {gib(row.free_bytes)} free" if row.free_bytes is not None else ""
    needed = f"{row.device} {gib(row.needed_bytes)}{free}"
    if not row.overhead_bytes:
        return needed
    held = gib(row.weights_bytes + row.kv_cache_bytes + row.compute_bytes)
    return (
        f"{needed}: {held} for weights, KV cache and buffers, {gib(row.overhead_bytes)} for the engine itself"
    )


def _reserve(chosen: Candidate, search: SearchContext) -> str:
    """What stays free on the devices that are used, and why as much."""
    hardware, reserve = search.hardware, search.reserve
    display = budget.has_display(hardware)
    kind = {True: "for the desktop on its display", False: "no display is attached", None: ""}[display]
    why = "as set" if reserve.host_bytes is not None else kind
    kept = [f"{gib(search.host_reserve_bytes)} of RAM{f' ({why})' if why else ''}"]
    used = {row.device for row in chosen.estimate.memory if row.weights_bytes}
    for index, gpu in enumerate(hardware.gpus):
        if f"GPU{index}" in used and gpu.memory_kind is not MemoryKind.UNIFIED:
            drives = " (it drives a display)" if gpu.display_attached else ""
            size = gib(budget.gpu_reserve_bytes(gpu, hardware, reserve))
            kept.append(f"{size} of GPU{index}{drives}")
    return f"leaves free for what else runs here: {', '.join(kept)}"


def _batch(chosen: Candidate) -> str:
    if chosen.batch_tokens_per_s is None:
        return ""
    return f"{chosen.parallel} at once get about {rate(chosen.batch_tokens_per_s)} tokens/s in total"


def _unused_gpus(chosen: Candidate, search: SearchContext) -> str:
    unknown = [
        f"GPU{index}" for index, gpu in enumerate(search.hardware.gpus) if gpu.memory_total_bytes is None
    ]
    used = {row.device for row in chosen.estimate.memory if row.weights_bytes}
    if not unknown or used.intersection(unknown):
        return ""
    return f"{', '.join(unknown)} is not used: its memory size is unknown"
