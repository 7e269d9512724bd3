"""The least memory that safetensors need, what a machine lacks for them, and the longest context."""

from dataclasses import replace

from domain.errors import UsageError
from domain.launches.plan import HOST, DeviceMemory, VllmFlags
from domain.models.model import ResolvedModel
from domain.units import gib
from planner.choose.candidates import Candidate
from planner.choose.context import CONTEXT_STEP_TOKENS, SearchContext
from planner.choose.support import Share, Shortage
from planner.machine.gpu_budgets import total_budget_bytes
from planner.vllm.estimate import memory_layout
from planner.vllm.memory import pool
from planner.vllm.memory.headroom import margin_bytes
from planner.vllm.model_config import read_config
from planner.vllm.ranks import cache_dtypes, rank_groups, runs_on_gpus, why_not_more_ranks
from planner.vllm.search import sized, vllm_flags


def min_bytes(model: ResolvedModel, context_tokens: int, search: SearchContext) -> int:
    flags = VllmFlags(max_model_len=context_tokens, enforce_eager=not search.hardware.gpus)
    try:
        kv_blocks = memory_layout(model.shape, flags, search.hardware).kv_blocks
    except UsageError:  # a longer context than it was trained for: the weights are the least
        return model.weights.size_bytes
    kv_bytes = pool.pool_bytes(kv_blocks, context_tokens, search.parallel)
    flags = replace(flags, kv_cache_memory_bytes=kv_bytes)
    return sum(row.needed_bytes for row in memory_layout(model.shape, flags, search.hardware).memory)


def shortage(model: ResolvedModel, context_tokens: int, search: SearchContext) -> Shortage:
    """Of the GPUs that come closest: each of them must hold its share."""
    if not runs_on_gpus(model, search.hardware):
        needs_bytes = min_bytes(model, context_tokens, search)
        return Shortage(needs_bytes, total_budget_bytes(search.hardware, search.reserve))
    ranks, shares = _closest(model, context_tokens, search)
    worst = max(shares, key=_lacking_bytes)
    need, has_bytes = f"needs {gib(worst.memory.needed_bytes)}", worst.has_bytes
    has = "an unknown amount" if has_bytes is None else gib(max(0, has_bytes))
    if worst.memory.device == HOST:
        where = f"the host {need}, it has {has} for it"
    else:
        who = "it" if len(ranks) == 1 else f"each of {len(ranks)} GPUs"
        where = f"{who} {need}, one {search.hardware.gpus[ranks[0]].name} has {has} for it"
    why_not_more = why_not_more_ranks(read_config(model.shape), model, search)
    where = f"{where}; {why_not_more}" if why_not_more else where
    return Shortage(worst.memory.needed_bytes, has_bytes, where)


def nearest_placement(model: ResolvedModel, context_tokens: int, search: SearchContext) -> tuple[Share, ...]:
    """On the GPUs that come closest, of which each holds as much: one share for all, then the host's."""
    if runs_on_gpus(model, search.hardware):
        return _closest(model, context_tokens, search)[1]
    rows = sized(model, (), "auto", _served(model, context_tokens), search.on_cpu())[1].memory
    return tuple(_share(row, (), search.on_cpu()) for row in rows)


def _closest(
    model: ResolvedModel, context_tokens: int, search: SearchContext
) -> tuple[tuple[int, ...], tuple[Share, ...]]:
    """The ranks whose worst device lacks least, and what each device would hold."""
    tokens = _served(model, context_tokens)
    groups = rank_groups(read_config(model.shape), model, search)
    found = [(ranks, _shares(ranks, model, tokens, search)) for ranks in groups]
    return min(found, key=lambda one: max(map(_lacking_bytes, one[1])))


def _served(model: ResolvedModel, context_tokens: int) -> int:
    return min(context_tokens, read_config(model.shape).trained_context_tokens)


def _shares(
    ranks: tuple[int, ...], model: ResolvedModel, context_tokens: int, search: SearchContext
) -> tuple[Share, ...]:
    cache_dtype = cache_dtypes(search.hardware, ranks, model)[-1]
    rows = sized(model, ranks, cache_dtype, context_tokens, search)[1].memory
    *on_gpus, host = (_share(row, ranks, search) for row in rows)
    return max(on_gpus, key=_lacking_bytes), host


def _share(row: DeviceMemory, ranks: tuple[int, ...], search: SearchContext) -> Share:
    has_bytes = None if row.free_bytes is None else row.free_bytes - margin_bytes(row.device, search)
    if row.device == HOST:
        return Share("the host's RAM", row, has_bytes)
    devices = row.device if len(ranks) == 1 else f"each of {len(ranks)} GPUs"
    return Share(f"{devices} ({search.hardware.gpus[ranks[0]].name})", row, has_bytes)


def _lacking_bytes(share: Share) -> int:
    """Less than none where there is more than enough; none where it is not known."""
    return 0 if share.has_bytes is None else share.memory.needed_bytes - share.has_bytes


def max_context_tokens(candidate: Candidate, search: SearchContext, cache_type: str | None = None) -> int:
    """In steps of 1024 tokens, or exactly what the model was trained for."""
    flags = vllm_flags(candidate)
    if cache_type is not None:
        flags = replace(flags, kv_cache_dtype=cache_type)
    layout = memory_layout(candidate.model.shape, flags, search.hardware)
    ranks = layout.ranks
    if cache_type and ranks and cache_type not in cache_dtypes(search.hardware, ranks, candidate.model):
        return 0
    trained = read_config(candidate.model.shape).trained_context_tokens
    available = [
        row.free_bytes - margin_bytes(row.device, search) - row.needed_bytes + row.kv_cache_bytes
        for row in layout.memory[: max(1, len(layout.ranks))]
        if row.free_bytes is not None
    ]
    if not available:
        return trained
    tokens = pool.max_context_tokens(layout.kv_blocks, min(available), trained, search.parallel)
    return tokens if tokens == trained else tokens // CONTEXT_STEP_TOKENS * CONTEXT_STEP_TOKENS
