"""The least memory that safetensors need, and the longest context that a candidate holds."""

from dataclasses import replace

from domain.errors import UsageError
from domain.model import ResolvedModel
from domain.plan import VllmFlags
from planner.choose.candidates import Candidate
from planner.choose.context import CONTEXT_STEP_TOKENS, SearchContext
from planner.vllm.estimate import memory_layout
from planner.vllm.model_config import read_config
from planner.vllm.search import kv_cache_bytes, vllm_flags


def min_bytes(model: ResolvedModel, context_tokens: int, search: SearchContext) -> int:
    flags = VllmFlags(max_model_len=context_tokens, enforce_eager=not search.hardware.gpus)
    try:
        kv_blocks = memory_layout(model.shape, flags, search.hardware).kv_blocks
    except UsageError:  # a longer context than it was trained for: the weights are the least
        return model.weights.size_bytes
    kv_bytes = kv_cache_bytes(kv_blocks, context_tokens, search.parallel)
    flags = replace(flags, kv_cache_memory_bytes=kv_bytes)
    return sum(row.needed_bytes for row in memory_layout(model.shape, flags, search.hardware).memory)


def max_context_tokens(candidate: Candidate, search: SearchContext, cache_type: str | None = None) -> int:
    """In steps of 1024 tokens, or exactly what the model was trained for."""
    flags = vllm_flags(candidate)
    if cache_type is not None:
        flags = replace(flags, kv_cache_dtype=cache_type)
    layout = memory_layout(candidate.model.shape, flags, search.hardware)
    trained = read_config(candidate.model.shape).trained_context_tokens
    available = [
        row.free_bytes - search.margin_bytes(row.device) - row.needed_bytes + row.kv_cache_bytes
        for row in layout.memory[: max(1, len(layout.ranks))]
        if row.free_bytes is not None
    ]
    if not available:
        return trained
    tokens = layout.kv_blocks.max_context_tokens(min(available) // search.parallel, trained)
    return tokens if tokens == trained else tokens // CONTEXT_STEP_TOKENS * CONTEXT_STEP_TOKENS
