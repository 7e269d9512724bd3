"""Why the chosen option: quant, context, cache and split in words, with numbers."""

from collections.abc import Sequence

from domain.plan import HOST, LlamaFlags, VllmFlags
from domain.units import gib, rate
from planner.choose import max_context, quality
from planner.choose.candidates import Candidate
from planner.llama_cpp.context_params import ALL_LAYERS
from planner.llama_cpp.search import SearchContext
from planner.model import hparams
from planner.model.layer_sizes import layer_sizes
from planner.vllm import model_config, weights


def layers(chosen: Candidate) -> int:
    """As ``-ngl`` counts them."""
    return len(hparams.read(chosen.candidate.shape).layers) + 1


def reasons(
    chosen: Candidate, found: Sequence[Candidate], case: SearchContext, wanted_context: int
) -> list[str]:
    flags = chosen.flags
    said = [_quant(chosen, found), _context(chosen, case, wanted_context)]
    said.append(_ranks(flags) if isinstance(flags, VllmFlags) else _split(chosen, flags))
    said.append(_memory(chosen))
    said += _at_once(chosen)
    said.append(_eager(flags) if isinstance(flags, VllmFlags) else _threads(flags, case))
    unknown = [
        f"GPU{index}" for index, gpu in enumerate(case.hardware.gpus) if gpu.memory_total_bytes is None
    ]
    if unknown and not any(row.device in unknown and row.weights_bytes for row in chosen.estimate.memory):
        said.append(f"{', '.join(unknown)} is not used: its memory is not known")
    return [line for line in said if line]


def _quant(chosen: Candidate, found: Sequence[Candidate]) -> str:
    loss = (
        f"adds {chosen.loss:.2g} to the perplexity"
        if chosen.loss > quality.SAME
        else "loses nothing that counts"
    )
    others = len({option.quant for option in found}) - 1
    speed = f", about {rate(chosen.decode)} tokens/s" if chosen.decode else ", speed not known here"
    among = f", the best of {others + 1} that fit" if others else ""
    return f"{chosen.quant} ({gib(chosen.candidate.weights.size_bytes)}) {loss}{among}{speed}"


def _context(chosen: Candidate, case: SearchContext, wanted_context: int) -> str:
    kind = cache_type(chosen)
    cache = sum(row.kv_cache_bytes for row in chosen.estimate.memory)
    each = f" for each of {case.parallel} at once" if case.parallel > 1 else ""
    less = f", less than {wanted_context}: no more fits" if chosen.context_tokens < wanted_context else ""
    most = max_context.longest(chosen, case)
    up = f"; up to {most} would hold" if most > chosen.context_tokens else ""
    return f"context {chosen.context_tokens} tokens{each}{less}, {kind} cache of {gib(cache)}{up}"


def _split(chosen: Candidate, flags: LlamaFlags) -> str:
    every = layers(chosen)
    used = [row for row in chosen.estimate.memory if row.device != HOST and row.weights_bytes]
    if not used:
        return "all layers on the CPU"
    where = " and ".join(f"{row.device} {gib(row.weights_bytes)}" for row in used)
    if flags.gpu_layers == ALL_LAYERS and not flags.n_cpu_moe:
        return f"all {every} layers on {where}"
    if flags.gpu_layers == ALL_LAYERS:
        moved = sum(
            layer_sizes(chosen.candidate.shape, hparams.read(chosen.candidate.shape)).experts[
                : flags.n_cpu_moe
            ]
        )
        return f"{where}; the experts of {flags.n_cpu_moe} of {every - 1} blocks ({gib(moved)}) on the CPU"
    return f"{flags.gpu_layers} of {every} layers on {where}, the rest on the CPU"


def _memory(chosen: Candidate) -> str:
    parts = [
        f"{row.device} {gib(row.needed_bytes)}"
        + (f" of {gib(row.free_bytes)} free" if row.free_bytes is not None else "")
        for row in chosen.estimate.memory
    ]
    flags = chosen.flags
    kept = 0 if isinstance(flags, VllmFlags) else flags.cache_ram_mib
    cache = f", prompt cache up to {kept} MiB" if kept else ""
    return f"needs {', '.join(parts)}{cache}"


def _ranks(flags: VllmFlags) -> str:
    if flags.enforce_eager:
        return "all on the CPU"
    on = "one GPU" if flags.tensor_parallel == 1 else f"{flags.tensor_parallel} GPUs, tensor-parallel"
    return f"all on {on}"


def _eager(flags: VllmFlags) -> str:
    return "eager, bfloat16: compiled bfloat16 gave wrong text on a CPU" if flags.enforce_eager else ""


def _at_once(chosen: Candidate) -> list[str]:
    if chosen.together is None:
        return []
    return [f"{chosen.parallel} at once get about {rate(chosen.together)} tokens/s in all"]


def _threads(flags: LlamaFlags, case: SearchContext) -> str:
    count, why = flags.threads, "cores this process may use"
    if case.wish.threads:
        why = "as asked"
    elif case.calibration.threads:
        why = "measured the fastest here"
    elif case.hardware.cpu.quota_cpus:
        why = f"CPU quota {case.hardware.cpu.quota_cpus:g}"
    elif flags.gpu_layers == ALL_LAYERS and not flags.n_cpu_moe:
        why = "the GPU does the work"
    locked = ", weights locked in RAM" if "mlock" in (flags.load_mode or "") else ""
    return f"{count} threads ({why}){locked}"


# As llama.cpp calls them, for the dtypes that vLLM's ``auto`` stands for.
_SHORT = {"bfloat16": "bf16", "float16": "f16", "float32": "f32", "half": "f16", "float": "f32"}


def cache_type(chosen: Candidate) -> str:
    if chosen.cache_type != "auto" or not isinstance(chosen.flags, VllmFlags):
        return chosen.cache_type
    dtype = weights.served_dtype(model_config.read(chosen.candidate.shape), chosen.flags.dtype)
    return _SHORT.get(dtype, dtype)
