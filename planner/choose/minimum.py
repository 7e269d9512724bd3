"""The least that a quant needs over all devices together, whatever there is."""

from dataclasses import replace

from domain.errors import UsageError
from domain.model import ResolvedModel
from domain.plan import VLLM, VllmFlags
from planner.choose.context import SearchContext
from planner.llama_cpp import search as llama_cpp_search
from planner.llama_cpp.estimate import memory_layout
from planner.vllm import estimate as vllm
from planner.vllm.search import kv_cache_bytes


def min_bytes(model: ResolvedModel, context_tokens: int, search: SearchContext) -> int:
    """At the smallest KV type."""
    if model.engine == VLLM:
        return _of_vllm(model, context_tokens, search)
    flags = llama_cpp_search.base_flags(llama_cpp_search.CACHE_TYPES[-1], context_tokens, search)
    return sum(row.needed_bytes for row in memory_layout(model.shape, flags, search.hardware).memory)


def _of_vllm(model: ResolvedModel, context_tokens: int, search: SearchContext) -> int:
    flags = VllmFlags(max_model_len=context_tokens, enforce_eager=not search.hardware.gpus)
    try:
        cache = vllm.memory_layout(model.shape, flags, search.hardware).kv_blocks
    except UsageError:  # more than it was trained for: its weights are the answer
        return model.weights.size_bytes
    space = kv_cache_bytes(cache, context_tokens, search.parallel)
    flags = replace(flags, kv_cache_memory_bytes=space)
    return sum(row.needed_bytes for row in vllm.memory_layout(model.shape, flags, search.hardware).memory)
