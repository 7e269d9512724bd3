"""The least memory that a GGUF quant needs, and the longest context that a candidate holds."""

from dataclasses import replace

from domain.launches.plan import HOST, DeviceMemory
from domain.machine.hardware import Hardware, MemoryKind
from domain.models.model import ResolvedModel
from planner.choose.candidates import Candidate
from planner.choose.context import CONTEXT_STEP_TOKENS, SearchContext
from planner.choose.support import Share, Shortage
from planner.llama_cpp import search as candidates
from planner.llama_cpp.cache_types import accepted_types, with_cache_type
from planner.llama_cpp.companions import second_files
from planner.llama_cpp.estimate import memory_layout
from planner.llama_cpp.memory.shared_pool import cache_tokens
from planner.llama_cpp.pooling import pooled_flags
from planner.machine.budget import host_budget_bytes, host_free_bytes
from planner.machine.gpu_budgets import total_budget_bytes
from planner.model.hparams import read_hparams


def min_bytes(model: ResolvedModel, context_tokens: int, search: SearchContext) -> int:
    """With the smallest cache type."""
    return sum(row.needed_bytes for row in _on_host(model, context_tokens, search))


def _on_host(model: ResolvedModel, context_tokens: int, search: SearchContext) -> tuple[DeviceMemory, ...]:
    hparams = read_hparams(model.shape)
    flags = candidates.base_flags(accepted_types(hparams)[-1], context_tokens, search)
    flags = pooled_flags(flags, model, context_tokens)
    return memory_layout(model.shape, flags, search.hardware, hparams=hparams).memory


def shortage(model: ResolvedModel, context_tokens: int, search: SearchContext) -> Shortage:
    """Of all memories together: layers may lie anywhere."""
    needs_bytes = min_bytes(model, context_tokens, search)
    return Shortage(needs_bytes, total_budget_bytes(search.hardware, search.reserve))


def nearest_placement(model: ResolvedModel, context_tokens: int, search: SearchContext) -> tuple[Share, ...]:
    """With the smallest cache type, and as much on the GPUs as they hold; memory that they share with the
    host as one."""
    gpus = search.hardware.gpus
    if any(gpu.memory_kind is MemoryKind.UNIFIED for gpu in gpus):
        row = _sum(_on_host(model, context_tokens, search), host_free_bytes(search.hardware))
        return (Share("all memory together", row, total_budget_bytes(search.hardware, search.reserve)),)
    tried = replace(search, hardware=_with_any_ram(search.hardware), overhead_hints={})
    tried = replace(tried, cache_type=accepted_types(read_hparams(model.shape))[-1])
    found = candidates.find_candidates(model, context_tokens, tried)
    rows = found[-1].estimate.memory if found else _on_host(model, context_tokens, search)
    return tuple(_share(row, search) for row in rows if row.needed_bytes)


def _with_any_ram(hardware: Hardware) -> Hardware:
    return replace(
        hardware,
        memory=replace(
            hardware.memory,
            total_bytes=None,
            available_bytes=None,
            cgroup_limit_bytes=None,
            cgroup_available_bytes=None,
        ),
    )


def _share(row: DeviceMemory, search: SearchContext) -> Share:
    if row.device == HOST:
        row = replace(row, free_bytes=host_free_bytes(search.hardware))
        return Share("the host's RAM", row, host_budget_bytes(search.hardware, search.reserve))
    name = search.hardware.gpus[int(row.device.removeprefix("GPU"))].name
    has_bytes = None if row.free_bytes is None else row.free_bytes - search.margin_bytes(row.device)
    return Share(f"{row.device} ({name})", row, has_bytes)


def _sum(rows: tuple[DeviceMemory, ...], free_bytes: int | None) -> DeviceMemory:
    return DeviceMemory(
        device=HOST,
        weights_bytes=sum(row.weights_bytes for row in rows),
        kv_cache_bytes=sum(row.kv_cache_bytes for row in rows),
        compute_bytes=sum(row.compute_bytes for row in rows),
        overhead_bytes=sum(row.overhead_bytes for row in rows),
        needed_bytes=sum(row.needed_bytes for row in rows),
        free_bytes=free_bytes,
    )


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
