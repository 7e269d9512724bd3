"""The least memory that safetensors need, what a machine lacks for them, and the longest context."""

from dataclasses import replace

from domain.errors import UsageError
from domain.launches.plan import HOST, VllmFlags
from domain.models.model import ResolvedModel
from domain.units import gib
from planner.choose.candidates import Candidate
from planner.choose.context import CONTEXT_STEP_TOKENS, SearchContext
from planner.choose.support import Shortage
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
    config = read_config(model.shape)
    found = [
        _shortage_on(ranks, model, min(context_tokens, config.trained_context_tokens), search)
        for ranks in rank_groups(config, model, search)
    ]
    closest = min(found, key=lambda one: one.needs_bytes - (one.has_bytes or 0))
    why_not_more = why_not_more_ranks(config, model, search)
    return replace(closest, where=f"{closest.where}; {why_not_more}") if why_not_more else closest


def _shortage_on(
    ranks: tuple[int, ...], model: ResolvedModel, context_tokens: int, search: SearchContext
) -> Shortage:
    cache_dtype = cache_dtypes(search.hardware, ranks, model)[-1]
    rows = sized(model, ranks, cache_dtype, context_tokens, search)[1].memory
    lacking = {
        row.device: row.needed_bytes + margin_bytes(row.device, search) - row.free_bytes
        for row in rows
        if row.free_bytes is not None
    }
    worst = max(rows, key=lambda row: lacking.get(row.device, 0))
    has_bytes = None if worst.free_bytes is None else worst.free_bytes - margin_bytes(worst.device, search)
    has = "an unknown amount" if has_bytes is None else gib(max(0, has_bytes))
    need = f"needs {gib(worst.needed_bytes)}"
    if worst.device == HOST:
        return Shortage(worst.needed_bytes, has_bytes, f"the host {need}, it has {has} for it")
    where = "it" if len(ranks) == 1 else f"each of {len(ranks)} GPUs"
    name = search.hardware.gpus[ranks[0]].name
    return Shortage(worst.needed_bytes, has_bytes, f"{where} {need}, one {name} has {has} for it")


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
