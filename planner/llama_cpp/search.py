"""Every candidate of one quant that fits a machine: cache types, splits and batches, with every flag set."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from domain.launches.plan import DeviceMemory, Estimate, LlamaFlags
from domain.machine.hardware import MemoryKind
from domain.models.model import ResolvedModel
from domain.units import MIB
from planner.choose.candidates import Candidate
from planner.choose.context import WORTHWHILE_GAIN, SearchContext
from planner.choose.value import turn_s, use_of
from planner.llama_cpp import context_params, split_search
from planner.llama_cpp.cache_types import types_to_try, with_cache_type
from planner.llama_cpp.companions import second_files
from planner.llama_cpp.companions.draft_search import with_draft
from planner.llama_cpp.estimate import estimate, memory_layout
from planner.llama_cpp.memory import kv_cache
from planner.llama_cpp.memory.shared_pool import cache_tokens, shares_pool
from planner.llama_cpp.pooling import pooled_flags
from planner.llama_cpp.quality import quality_loss
from planner.llama_cpp.split_search import ParsedModel
from planner.machine import threads
from planner.machine.devices import llama_cpp_build
from planner.machine.gpu_budgets import total_budget_bytes
from planner.model.hparams import Hparams, read_hparams
from planner.model.layer_sizes import kv_bytes_per_layer, layer_sizes

UBATCH = 512
LARGER_UBATCHES = (1024, 2048, 4096)
WORTHWHILE_UBATCH_GAIN = 1.01  # of a turn
# Tokens/s of a batch over those of one sequence times the sequences: 1930 with 16 on an RTX 4090 with Llama
# 8B Q4_0, about 160 with one (github.com/ggml-org/llama.cpp/pull/15131).
BATCH_EFFICIENCY = 0.76
CACHED_SEQUENCES = 4
MAX_CACHE_RAM_MIB = 8192
MLOCK_HEADROOM = 1.15  # RAM that must be free, as a multiple of what the engine needs of it


def find_candidates(
    model: ResolvedModel, context_tokens: int, search: SearchContext
) -> tuple[Candidate, ...]:
    """Candidates with ``context_tokens`` per sequence, the plainest cache type first; empty if none fits."""
    parsed = _parse_model(model, LlamaFlags())
    candidates: list[Candidate] = []
    for cache_type in types_to_try(
        parsed.hparams, only=search.cache_type, smallest=search.reserve.small_cache
    ):
        flags = _model_flags(model, cache_type, context_tokens, search)
        if not _can_fit(parsed, flags, search):
            continue
        best = _best_split(model, _parse_model(model, flags), flags, context_tokens, search)
        if best is not None:
            candidates.append(best)
            if search.from_disk or not search.hardware.gpus or best.is_offloaded:
                break  # a smaller cache would gain nothing
    return tuple(candidates)


def _parse_model(model: ResolvedModel, flags: LlamaFlags) -> ParsedModel:
    hparams = read_hparams(model.shape)
    mmproj = second_files.shapes(model, flags)["mmproj"]
    return ParsedModel(model.shape, hparams, layer_sizes(model.shape, hparams), mmproj)


def _can_fit(parsed: ParsedModel, flags: LlamaFlags, search: SearchContext) -> bool:
    """Whether all memory together holds weights and cache: rejects early what no split makes fit."""
    if search.from_disk:
        return True
    budget_bytes = total_budget_bytes(search.hardware, search.reserve)
    cparams = context_params.resolve(flags, parsed.hparams)
    needed_bytes = parsed.sizes.weights_bytes + sum(kv_bytes_per_layer(parsed.hparams, cparams))
    return budget_bytes is None or needed_bytes <= budget_bytes


def base_flags(
    cache_type: str, context_tokens: int, search: SearchContext, ubatch: int = UBATCH
) -> LlamaFlags:
    is_shared = shares_pool(search.parallel, llama_cpp_build(search.hardware))
    ubatch = min(ubatch, search.reserve.max_ubatch or ubatch)
    flags = LlamaFlags(
        gpu_layers=0,
        context_tokens=cache_tokens(context_tokens, search.parallel, is_shared=is_shared),
        parallel=search.parallel,
        kv_unified=is_shared,
        batch=max(2048, ubatch),
        ubatch=ubatch,
        cache_ram_mib=0,
        ctx_checkpoints=0,
        load_mode="mmap",
        fit=False,
        jinja=True,
    )
    return with_cache_type(flags, cache_type)


def _model_flags(
    model: ResolvedModel, cache_type: str, context_tokens: int, search: SearchContext, ubatch: int = UBATCH
) -> LlamaFlags:
    flags = _of_model(base_flags(cache_type, context_tokens, search, ubatch), model, search)
    return pooled_flags(flags, model, context_tokens)


def _of_model(flags: LlamaFlags, model: ResolvedModel, search: SearchContext) -> LlamaFlags:
    """With what the model needs: how its answers are read, and its projector."""
    jinja = flags.jinja if model.chat.jinja is None else model.chat.jinja
    return replace(
        flags,
        jinja=jinja,
        reasoning_format=model.chat.reasoning_format,
        mmproj=second_files.projector(model, search.options),
    )


def tune(chosen: Candidate, search: SearchContext) -> Candidate:
    """``chosen`` with the draft that pays, and the ubatch that makes a whole turn fastest, where a GPU
    computes.

    A larger ubatch takes memory that layers or experts could have, so it must gain a little."""
    use, best = use_of(search.options), chosen
    if llama_flags(chosen).is_pooled:
        return chosen
    if not llama_flags(chosen).gpu_layers:
        return with_draft(chosen, search)
    for ubatch in () if search.reserve.max_ubatch else LARGER_UBATCHES:
        larger = with_ubatch(chosen, ubatch, search)
        if larger is None or larger.is_offloaded < chosen.is_offloaded:
            break  # one larger still takes more
        own_s, best_s = turn_s(larger, use), turn_s(best, use)
        if own_s and best_s and own_s * WORTHWHILE_UBATCH_GAIN < best_s:
            best = larger
    return with_draft(best, search)


def with_ubatch(candidate: Candidate, ubatch: int, search: SearchContext) -> Candidate | None:
    """``candidate`` with another ubatch and the best split for it; ``None`` if that does not fit."""
    model, context_tokens = candidate.model, candidate.context_tokens
    cache_type = llama_flags(candidate).cache_type_k
    flags = _model_flags(model, cache_type, context_tokens, search, ubatch)
    return _best_split(model, _parse_model(model, flags), flags, context_tokens, search)


def with_batch_of(candidate: Candidate, chosen: Candidate, search: SearchContext) -> Candidate:
    """``candidate`` with the ubatch of ``chosen`` if a GPU reads its host weights, so that prices are
    comparable; unchanged if that does not fit."""
    ubatch, own = llama_flags(chosen).ubatch, llama_flags(candidate)
    if not candidate.has_host_weights or own.is_pooled or own.ubatch == ubatch:
        return candidate
    return with_ubatch(candidate, ubatch or UBATCH, search) or candidate


def llama_flags(candidate: Candidate) -> LlamaFlags:
    if not isinstance(candidate.flags, LlamaFlags):
        raise TypeError(f"{candidate.engine} flags were given to llama.cpp's planner")
    return candidate.flags


def holds_all_layers(flags: LlamaFlags) -> bool:
    """Whether GPUs hold all layers, including experts."""
    return flags.gpu_layers == context_params.ALL_LAYERS and not flags.n_cpu_moe


def _best_split(
    model: ResolvedModel,
    parsed: ParsedModel,
    base: LlamaFlags,
    context_tokens: int,
    search: SearchContext,
) -> Candidate | None:
    """A projector is on a GPU, unless layers gain much by its memory there."""
    best = _best_of_splits(model, parsed, base, context_tokens, search)
    if parsed.mmproj is None or not search.hardware.gpus or (best is not None and best.is_offloaded):
        return best
    on_host = replace(base, mmproj_offload=False)
    other = _best_of_splits(model, parsed, on_host, context_tokens, search)
    if best is None or other is None:
        return best or other
    use = use_of(search.options)
    gain = (turn_s(best, use) or inf) / (turn_s(other, use) or inf)
    return other if gain > WORTHWHILE_GAIN else best


def _best_of_splits(
    model: ResolvedModel,
    parsed: ParsedModel,
    base: LlamaFlags,
    context_tokens: int,
    search: SearchContext,
) -> Candidate | None:
    candidates: list[Candidate] = []
    for flags in split_search.splits(parsed, base, search.hardware, search.reserve, search.overhead_hints):
        if candidates and not flags.gpu_layers:
            break  # the CPU alone is tried only if no GPU holds a part
        candidate = _complete_candidate(model, parsed.hparams, flags, context_tokens, search)
        if candidate is not None:
            candidates.append(candidate)
    use = use_of(search.options)
    return min(candidates, key=lambda one: turn_s(one, use) or inf, default=None)


def _complete_candidate(
    model: ResolvedModel, hparams: Hparams, flags: LlamaFlags, context_tokens: int, search: SearchContext
) -> Candidate | None:
    """``flags`` with threads, prompt cache, checkpoints and load mode; ``None`` if it does not fit."""
    flags = with_checkpoints(hparams, _with_threads(flags, search))
    if search.from_disk:  # repacked weights would be copies, which need memory
        flags = replace(flags, repack=False)
    second = second_files.shapes(model, flags)
    memory = memory_layout(model.shape, flags, search.hardware, hparams=hparams, **second).memory
    if not search.has_room(memory):
        return None
    flags = replace(
        flags,
        cache_ram_mib=_cache_ram_mib(memory, flags, hparams, context_tokens, search),
        load_mode="mmap" if search.from_disk else _load_mode(memory, flags, search),
    )
    prediction = estimate(model.shape, flags, search.hardware, calibration=search.calibration, **second)
    is_offloaded = holds_all_layers(flags)
    return Candidate(
        model=model,
        flags=flags,
        estimate=prediction,
        context_tokens=context_tokens,
        cache_type="/".join(sorted({flags.cache_type_k, flags.cache_type_v})),
        loss=quality_loss(model),
        parallel=search.parallel,
        batch_tokens_per_s=_batch_tokens_per_s(model, flags, prediction, search),
        is_offloaded=is_offloaded,
        has_host_weights=bool(flags.gpu_layers) and not is_offloaded,
    )


def _with_threads(flags: LlamaFlags, search: SearchContext) -> LlamaFlags:
    if search.options.threads:
        return replace(flags, threads=search.options.threads, threads_batch=search.options.threads)
    cpu, calibration = search.hardware.cpu, search.calibration
    on_host = not holds_all_layers(flags)
    decode_threads = threads.decode_threads(cpu, calibration, on_host=on_host)
    batch_threads = threads.batch_threads(cpu, calibration, decode_threads, on_host=on_host)
    return replace(flags, threads=decode_threads, threads_batch=batch_threads)


def _batch_tokens_per_s(
    model: ResolvedModel, flags: LlamaFlags, single: Estimate, search: SearchContext
) -> float | None:
    """Tokens/s of all sequences together: a step is a batch with one token of each."""
    decode = single.speed.decode_tokens_per_s
    if search.parallel == 1 or decode is None:
        return None
    step_flags = replace(flags, ubatch=search.parallel, batch=max(flags.batch, search.parallel))
    step = estimate(model.shape, step_flags, search.hardware, calibration=search.calibration)
    prefill = step.speed.prefill_tokens_per_s
    linear_tokens_per_s = search.parallel * decode.expected
    return None if prefill is None else BATCH_EFFICIENCY * min(linear_tokens_per_s, prefill.expected)


def with_checkpoints(hparams: Hparams, flags: LlamaFlags) -> LlamaFlags:
    """Enough checkpoints to return to any turn of a chat: one for each spacing of a full context."""
    cparams = context_params.resolve(flags, hparams)
    if not kv_cache.checkpoint_bytes(hparams, cparams):
        return flags
    spacings = cparams.context_per_sequence // 8192 + 2
    return replace(flags, ctx_checkpoints=min(context_params.DEFAULT_CHECKPOINTS, spacings))


def _cache_ram_mib(
    memory: Sequence[DeviceMemory],
    flags: LlamaFlags,
    hparams: Hparams,
    context_tokens: int,
    search: SearchContext,
) -> int:
    """Four full contexts, at most a quarter of the RAM that stays free, and at most the engine's default.
    None of a model that generates no text: nothing of a prompt is read again."""
    if flags.is_pooled:
        return 0
    one = replace(flags, context_tokens=context_tokens, parallel=1, kv_unified=False)
    cparams = context_params.resolve(one, hparams)
    sequence_bytes = kv_cache.sequence_bytes(hparams, cparams)
    sequence_bytes += (flags.ctx_checkpoints or 0) * kv_cache.checkpoint_bytes(hparams, cparams)
    host, available_bytes = memory[-1], 0
    if host.free_bytes is not None:
        available_bytes = max(0, host.free_bytes - host.needed_bytes - search.host_reserve_bytes) // 4
    return min(MAX_CACHE_RAM_MIB, CACHED_SEQUENCES * sequence_bytes // MIB, available_bytes // MIB)


def _load_mode(memory: Sequence[DeviceMemory], flags: LlamaFlags, search: SearchContext) -> str:
    """Locked if the limit allows it and RAM has room; not mapped if RAM is also the GPU's, so that the page
    cache does not hold the weights a second time."""
    ram, host = search.hardware.memory, memory[-1]
    used = [row.device for row in memory[:-1] if row.weights_bytes]
    used_gpus = [search.hardware.gpus[int(device.removeprefix("GPU"))] for device in used]
    if any(gpu.memory_kind is MemoryKind.UNIFIED for gpu in used_gpus):
        return "none"
    may_lock = ram.memlock_unlimited or (ram.memlock_limit_bytes or 0) >= host.weights_bytes
    if not may_lock or host.free_bytes is None or flags.gpu_layers == context_params.ALL_LAYERS:
        return "mmap"
    lock_needs_bytes = MLOCK_HEADROOM * host.needed_bytes + search.host_reserve_bytes
    return "mmap+mlock" if host.free_bytes > lock_needs_bytes else "mmap"
