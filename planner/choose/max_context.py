"""The longest context that a choice would hold, its split and everything else kept."""

from dataclasses import replace

from domain.plan import LlamaFlags, VllmFlags
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.llama_cpp import search as llama_cpp_search
from planner.llama_cpp.estimate import memory_layout
from planner.model.hparams import read_hparams
from planner.vllm import estimate as vllm_estimate
from planner.vllm import model_config as vllm_config

STEP_TOKENS = 1024


def max_context_tokens(candidate: Candidate, search: SearchContext, cache_type: str | None = None) -> int:
    """Tokens of each sequence, in whole 1024, with a cache of ``cache_type`` (as it is if ``None``); 0 where
    not even the first 1024 hold. At most what the model was trained for."""
    flags = candidate.flags
    if isinstance(flags, VllmFlags):
        return _of_vllm(
            candidate, flags if cache_type is None else replace(flags, kv_cache_dtype=cache_type), search
        )
    hparams = read_hparams(candidate.model.shape)
    plain = replace(
        flags if cache_type is None else llama_cpp_search.with_cache_type(flags, cache_type), cache_ram_mib=0
    )

    def holds(tokens: int) -> bool:
        tried = replace(plain, context_tokens=tokens * search.parallel)
        tried = llama_cpp_search.with_checkpoints(hparams, tried)
        rows = memory_layout(candidate.model.shape, tried, search.hardware, hparams=hparams).memory
        return search.has_room(rows)

    low, high = 0, hparams.native_context // STEP_TOKENS
    if holds(hparams.native_context):
        return hparams.native_context
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle * STEP_TOKENS) else (low, middle - 1)
    return low * STEP_TOKENS


def _of_vllm(candidate: Candidate, flags: VllmFlags, search: SearchContext) -> int:
    layout = vllm_estimate.memory_layout(candidate.model.shape, flags, search.hardware)
    trained = vllm_config.read_config(candidate.model.shape).native_context
    budget: int | None = None
    for row in layout.memory[: max(1, len(layout.ranks))]:
        if row.free_bytes is None:
            continue
        free = row.free_bytes - search.margin_bytes(row.device) - row.needed_bytes + row.kv_cache_bytes
        budget = free if budget is None else min(budget, free)
    if budget is None:
        return trained
    tokens = layout.kv_blocks.max_context_tokens(budget // search.parallel, trained)
    return tokens if tokens == trained else tokens // STEP_TOKENS * STEP_TOKENS


def cache_types(flags: LlamaFlags | VllmFlags) -> tuple[str, ...]:
    """The types of cache that a plan chooses among, with this engine."""
    return ("auto", "fp8") if isinstance(flags, VllmFlags) else llama_cpp_search.CACHE_TYPES
