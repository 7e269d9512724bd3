"""All options of one quant that hold on a box: KV types, splits, batches, with every flag set."""

from dataclasses import dataclass, field, replace

from domain.hardware import Hardware, MemoryKind
from domain.model import Chat, ResolvedModel
from domain.plan import HOST, DeviceMemory, Estimate, LaunchOptions, LlamaFlags
from domain.units import MIB
from planner.choose.candidates import Candidate
from planner.llama_cpp import context_params, kv_cache, split_search
from planner.llama_cpp.estimate import estimate, lay_out
from planner.machine import budget, threads
from planner.machine.budget import Reserve
from planner.machine.calibration import Calibration
from planner.model import hparams
from planner.model.hparams import Hparams
from planner.model.layer_sizes import cache_per_layer, layer_sizes

KV_TYPES = ("f16", "q8_0")
UBATCH = 512
LARGER_UBATCHES = (1024, 2048, 4096)
# A faster KV type or batch must be worth it: below this gain the plainer one is taken.
WORTH = 1.15
# Of as many tokens/s as sequences times one: 1930 of 16 on an RTX 4090 with Llama 8B Q4_0, about 160 of one
# (github.com/ggml-org/llama.cpp/pull/15131).
STEP_SHARE = 0.76
CACHED_SEQUENCES = 4
MOST_CACHE_MIB = 8192
# Silent reading: 238 words a minute (Brysbaert 2019), 4 tokens for 3 words. Comfortable is twice that, for
# people skim, and models think aloud: reached with a quant that is still good, else reading speed will do.
READING_TOKENS_PER_S = 5.3
COMFORTABLE_TOKENS_PER_S = 10.0
MLOCK_ROOM = 1.15  # of the locked bytes has to be free beside them

Rows = tuple[DeviceMemory, ...]  # GPUs in the engine's order, the host last


@dataclass(frozen=True, slots=True)
class SearchContext:
    """What all options of one search share. ``taken``: see ``split.Taken``; ``from_disk``: the host's
    weights need no memory."""

    hardware: Hardware
    wish: LaunchOptions
    calibration: Calibration
    reserve: Reserve
    taken: split_search.Allocation = field(default_factory=dict, compare=False)
    from_disk: bool = False

    @property
    def parallel(self) -> int:
        return self.wish.parallel or 1

    @property
    def target(self) -> float:
        """Tokens per second that are enough."""
        return self.wish.min_decode_tokens_per_s or COMFORTABLE_TOKENS_PER_S

    def is_slow(self, decode: float | None) -> bool:
        """What is not known is not slow."""
        return decode is not None and decode < self.target

    def on_the_cpu(self) -> "SearchContext":
        return replace(self, hardware=replace(self.hardware, gpus=()))


def options(candidate: ResolvedModel, context_tokens: int, case: SearchContext) -> tuple[Candidate, ...]:
    """Of this quant at this context per sequence, the plainest KV type first. Empty: does not fit."""
    read = _read(candidate)
    found: list[Candidate] = []
    for kind in KV_TYPES:
        plain = _for_chat(base(kind, context_tokens, case), candidate.chat)
        if not _can_hold(read, plain, case):
            continue
        best = _over_splits(candidate, read, plain, context_tokens, case)
        if best is not None:
            found.append(best)
            if not case.hardware.gpus or best.is_offloaded:
                break  # a smaller cache would gain nothing
    return tuple(found)


def _read(candidate: ResolvedModel) -> split_search.Model:
    model = hparams.read(candidate.shape)
    return split_search.Model(candidate.shape, model, layer_sizes(candidate.shape, model))


def _can_hold(read: split_search.Model, flags: LlamaFlags, case: SearchContext) -> bool:
    """Whether all memory together holds weights and cache: a quick no for what never fits."""
    total = None if case.from_disk else split_search.total_room_bytes(case.hardware, case.reserve)
    run = context_params.resolve(flags, read.hparams)
    return total is None or read.sizes.weights + sum(cache_per_layer(read.hparams, run)) <= total


def base(kind: str, context_tokens: int, case: SearchContext, ubatch: int = UBATCH) -> LlamaFlags:
    plain = LlamaFlags(
        gpu_layers=0,
        context_tokens=context_tokens * case.parallel,
        parallel=case.parallel,
        kv_unified=False,
        batch=max(2048, ubatch),
        ubatch=ubatch,
        cache_ram_mib=0,
        ctx_checkpoints=0,
        load_mode="mmap",
        fit=False,
        jinja=True,
    )
    return with_cache(plain, kind)


def _for_chat(flags: LlamaFlags, chat: Chat) -> LlamaFlags:
    jinja = flags.jinja if chat.jinja is None else chat.jinja
    return replace(flags, jinja=jinja, reasoning_format=chat.reasoning_format)


def with_cache(flags: LlamaFlags, kind: str) -> LlamaFlags:
    """A quantized cache needs flash attention."""
    return replace(
        flags, cache_type_k=kind, cache_type_v=kind, flash_attention="auto" if kind == "f16" else "on"
    )


def with_larger_batch(chosen: Candidate, case: SearchContext) -> Candidate:
    """``chosen``, with a larger batch where weights are pulled to a GPU for prompts and a whole turn gains.
    It takes room that layers or experts could have: never so much that decoding becomes too slow."""
    if not isinstance(chosen.flags, LlamaFlags) or not chosen.has_host_weights:
        return chosen
    tried = [chosen]
    for ubatch in LARGER_UBATCHES:
        larger = at_batch(chosen, ubatch, case)
        if larger is None or not larger.has_host_weights:
            continue
        if case.is_slow(larger.pace) and not case.is_slow(chosen.pace):
            break
        tried.append(larger)
    return max(tried, key=_worth)


def at_batch(option: Candidate, ubatch: int, case: SearchContext) -> Candidate | None:
    """``option`` with the best split for another batch; ``None`` where that does not hold."""
    if not isinstance(option.flags, LlamaFlags):
        return option
    one, context_tokens = option.candidate, option.context_tokens
    flags = _for_chat(base(option.flags.cache_type_k, context_tokens, case, ubatch), one.chat)
    return _over_splits(one, _read(one), flags, context_tokens, case)


def _over_splits(
    candidate: ResolvedModel,
    read: split_search.Model,
    plain: LlamaFlags,
    context_tokens: int,
    case: SearchContext,
) -> Candidate | None:
    found: list[Candidate] = []
    for flags in split_search.splits(read, plain, case.hardware, case.reserve, case.taken):
        if found and not flags.gpu_layers:
            break  # the CPU alone is for what no GPU holds a part of
        option = _complete(candidate, read.hparams, flags, context_tokens, case)
        if option is not None:
            found.append(option)
    return max(found, key=_worth, default=None)


def _worth(option: Candidate) -> float:
    return option.quickness or 0.0


def _complete(
    candidate: ResolvedModel, model: Hparams, flags: LlamaFlags, context_tokens: int, case: SearchContext
) -> Candidate | None:
    """``flags`` with threads, prompt cache, checkpoints and load mode; ``None`` where it overflows."""
    cpu = case.hardware.cpu
    on_host = flags.gpu_layers != context_params.ALL_LAYERS or bool(flags.n_cpu_moe)
    decode = case.wish.threads or threads.decode_threads(cpu, case.calibration, on_host=on_host)
    batch = case.wish.threads or threads.batch_threads(cpu, case.calibration, decode, on_host=on_host)
    flags = replace(flags, threads=decode, threads_batch=batch)
    flags = with_checkpoints(model, flags)
    if case.from_disk:  # repacked weights would be copies, which need memory
        flags = replace(flags, repack=False)
    rows = lay_out(candidate.shape, flags, case.hardware, model=model).rows
    if not holds(rows, case):
        return None
    flags = replace(
        flags,
        cache_ram_mib=_cache_ram_mib(rows, flags, model, case),
        load_mode="mmap" if case.from_disk else _load_mode(rows, flags, case),
    )
    found = estimate(candidate.shape, flags, case.hardware, calibration=case.calibration)
    together = _together(candidate, flags, found, case)
    return Candidate(candidate, flags, found, context_tokens, case.parallel, together)


def _together(
    candidate: ResolvedModel, flags: LlamaFlags, alone: Estimate, case: SearchContext
) -> float | None:
    """Tokens/s of all sequences: a step is a batch with a token of each."""
    decode = alone.speed.decode_tokens_per_s
    if case.parallel == 1 or decode is None:
        return None
    step = replace(flags, ubatch=case.parallel, batch=max(flags.batch, case.parallel))
    found = estimate(candidate.shape, step, case.hardware, calibration=case.calibration)
    batch = found.speed.prefill_tokens_per_s
    most = case.parallel * decode.expected
    return None if batch is None else STEP_SHARE * min(most, batch.expected)


def with_checkpoints(model: Hparams, flags: LlamaFlags) -> LlamaFlags:
    """Enough to go back to any turn of a chat: one for each spacing of a full context."""
    run = context_params.resolve(flags, model)
    if not kv_cache.checkpoint_bytes(model, run):
        return flags
    spacings = run.context_per_sequence // 8192 + 2
    return replace(flags, ctx_checkpoints=min(context_params.DEFAULT_CHECKPOINTS, spacings))


def holds(memory: Rows, case: SearchContext) -> bool:
    """Within what each device has, margins kept. A host of unknown size is taken to hold."""
    for row in memory:
        if row.free_bytes is None:
            continue
        margin = margin_bytes(row.device, case)
        mapped = row.weights_bytes if case.from_disk and row.device == HOST else 0
        if row.needed_bytes - mapped + margin > row.free_bytes:
            return False
    return True


def margin_bytes(device: str, case: SearchContext) -> int:
    """On a host that shares its pool with a GPU the margin is kept once, on the host's row."""
    if device == HOST:
        return case.reserve.host_bytes
    gpu = case.hardware.gpus[int(device.removeprefix("GPU"))]
    room = budget.room_bytes(gpu, case.hardware, case.reserve)
    free = budget.gpu_free_bytes(gpu, case.hardware)
    return 0 if room is None or free is None else free - room


def _cache_ram_mib(rows: Rows, flags: LlamaFlags, model: Hparams, case: SearchContext) -> int:
    """Four full contexts, at most a quarter of the RAM that is left, and never more than the engine's
    own default."""
    run = context_params.resolve(flags, model)
    wanted = CACHED_SEQUENCES * (
        kv_cache.sequence_bytes(model, run)
        + (flags.ctx_checkpoints or 0) * kv_cache.checkpoint_bytes(model, run)
    )
    host, left = rows[-1], 0
    if host.free_bytes is not None:
        left = max(0, host.free_bytes - host.needed_bytes - case.reserve.host_bytes) // 4
    return min(MOST_CACHE_MIB, wanted // MIB, left // MIB)


def _load_mode(rows: Rows, flags: LlamaFlags, case: SearchContext) -> str:
    """Locked where the limit allows and RAM has room; read without a map where RAM is the GPU's too,
    so that the page cache does not hold the weights a second time."""
    memory, host = case.hardware.memory, rows[-1]
    used = [case.hardware.gpus[int(row.device.removeprefix("GPU"))] for row in rows[:-1] if row.weights_bytes]
    if any(gpu.memory_kind is MemoryKind.UNIFIED for gpu in used):
        return "none"
    allowed = memory.memlock_unlimited or (memory.memlock_limit_bytes or 0) >= host.weights_bytes
    if not allowed or host.free_bytes is None or flags.gpu_layers == context_params.ALL_LAYERS:
        return "mmap"
    return (
        "mmap+mlock" if host.free_bytes > MLOCK_ROOM * host.needed_bytes + case.reserve.host_bytes else "mmap"
    )
