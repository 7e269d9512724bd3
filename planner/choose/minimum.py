"""The least that a quant needs over all devices together, whatever there is."""

from dataclasses import replace

from domain.errors import UsageError
from domain.model import ResolvedModel
from domain.plan import VLLM, VllmFlags
from planner.llama_cpp import search
from planner.llama_cpp.estimate import lay_out
from planner.llama_cpp.search import SearchContext
from planner.vllm import estimate as vllm
from planner.vllm.options import cache_bytes


def least_bytes(candidate: ResolvedModel, context_tokens: int, case: SearchContext) -> int:
    """At the smallest KV type."""
    if candidate.engine == VLLM:
        return _of_vllm(candidate, context_tokens, case)
    flags = search.base(search.KV_TYPES[-1], context_tokens, case)
    return sum(row.needed_bytes for row in lay_out(candidate.shape, flags, case.hardware).rows)


def _of_vllm(candidate: ResolvedModel, context_tokens: int, case: SearchContext) -> int:
    flags = VllmFlags(max_model_len=context_tokens, enforce_eager=not case.hardware.gpus)
    try:
        cache = vllm.lay_out(candidate.shape, flags, case.hardware).cache
    except UsageError:  # more than it was trained for: its weights are the answer
        return candidate.weights.size_bytes
    space = cache_bytes(cache, context_tokens, case.parallel)
    flags = replace(flags, kv_cache_memory_bytes=space)
    return sum(row.needed_bytes for row in vllm.lay_out(candidate.shape, flags, case.hardware).rows)
