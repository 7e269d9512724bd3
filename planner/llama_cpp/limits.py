"""The least memory that a GGUF quant needs, and the longest context that a candidate holds."""

from dataclasses import replace

from domain.models.model import ResolvedModel
from planner.choose.candidates import Candidate
from planner.choose.context import CONTEXT_STEP_TOKENS, SearchContext
from planner.choose.support import Shortage
from planner.llama_cpp import search as candidates
from planner.llama_cpp.cache_types import accepted_types, with_cache_type
from planner.llama_cpp.companions import second_files
from planner.llama_cpp.estimate import memory_layout
from planner.llama_cpp.memory.shared_pool import cache_tokens
from planner.llama_cpp.pooling import pooled_flags
from planner.machine.gpu_budgets import total_budget_bytes
from planner.model.hparams import read_hparams


def min_bytes(model: ResolvedModel, context_tokens: int, search: SearchContext) -> int:
    """With the smallest cache type."""
    hparams = read_hparams(model.shape)
    flags = candidates.base_flags(accepted_types(hparams)[-1], context_tokens, search)
    flags = pooled_flags(flags, model, context_tokens)
    layout = memory_layout(model.shape, flags, search.hardware, hparams=hparams)
    return sum(row.needed_bytes for row in layout.memory)


def shortage(model: ResolvedModel, context_tokens: int, search: SearchContext) -> Shortage:
    """Of all memories together: layers may lie anywhere."""
    needs_bytes = min_bytes(model, context_tokens, search)
    return Shortage(needs_bytes, total_budget_bytes(search.hardware, search.reserve))


def max_context_tokens(candidate: Candidate, search: SearchContext, cache_type: str | None = None) -> int:
    """In steps of 1024 tokens, or exactly what the model was trained for."""
    shape = candidate.model.shape
    hparams = read_hparams(shape)
    flags = replace(candidates.llama_flags(candidate), cache_ram_mib=0)
    if cache_type is not None:
        flags = with_cache_type(flags, cache_type)

    def fits(tokens: int) -> bool:
        count = cache_tokens(tokens, search.parallel, is_shared=bool(flags.kv_unified))
        tried = replace(flags, context_tokens=count)
        tried = candidates.with_checkpoints(hparams, tried)
        second = second_files.shapes(candidate.model, tried)
        return search.has_room(memory_layout(shape, tried, search.hardware, hparams=hparams, **second).memory)

    if fits(hparams.trained_context_tokens):
        return hparams.trained_context_tokens
    low, high = 0, hparams.trained_context_tokens // CONTEXT_STEP_TOKENS
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * CONTEXT_STEP_TOKENS) else (low, middle - 1)
    return low * CONTEXT_STEP_TOKENS
