"""Why the chosen option: quant, context, cache and split in words, with numbers."""

from collections.abc import Sequence

from domain.plan import HOST, LlamaFlags, VllmFlags
from domain.units import gib, rate
from planner.choose import max_context, quality
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.llama_cpp.context_params import ALL_LAYERS
from planner.model.hparams import read_hparams
from planner.model.layer_sizes import layer_sizes
from planner.vllm import model_config, weights


def layer_count(chosen: Candidate) -> int:
    """As ``-ngl`` counts them."""
    return len(read_hparams(chosen.model.shape).layers) + 1


def reasons(
    chosen: Candidate, candidates: Sequence[Candidate], search: SearchContext, wanted_context: int
) -> list[str]:
    flags = chosen.flags
    lines = [_quant(chosen, candidates), _context(chosen, search, wanted_context)]
    lines.append(_ranks(flags) if isinstance(flags, VllmFlags) else _split(chosen, flags))
    lines.append(_memory(chosen))
    lines += _at_once(chosen)
    lines.append(_eager(flags) if isinstance(flags, VllmFlags) else _threads(flags, search))
    unknown = [
        f"GPU{index}" for index, gpu in enumerate(search.hardware.gpus) if gpu.memory_total_bytes is None
    ]
    if unknown and not any(row.device in unknown and row.weights_bytes for row in chosen.estimate.memory):
        lines.append(f"{', '.join(unknown)} is not used: its memory is not known")
    return [line for line in lines if line]


def _quant(chosen: Candidate, candidates: Sequence[Candidate]) -> str:
    loss = (
        f"adds {chosen.loss:.2g} to the perplexity"
        if chosen.loss > quality.INDISTINGUISHABLE_LOSS
        else "loses nothing that counts"
    )
    others = len({candidate.quant for candidate in candidates}) - 1
    speed = (
        f", about {rate(chosen.decode_tokens_per_s)} tokens/s"
        if chosen.decode_tokens_per_s
        else ", speed not known here"
    )
    among = f", the best of {others + 1} that fit" if others else ""
    return f"{chosen.quant} ({gib(chosen.model.weights.size_bytes)}) {loss}{among}{speed}"


def _context(chosen: Candidate, search: SearchContext, wanted_context: int) -> str:
    kind = cache_type(chosen)
    kv_bytes = sum(row.kv_cache_bytes for row in chosen.estimate.memory)
    each = f" for each of {search.parallel} at once" if search.parallel > 1 else ""
    reduced_note = (
        f", less than {wanted_context}: no more fits" if chosen.context_tokens < wanted_context else ""
    )
    longest = max_context.max_context_tokens(chosen, search)
    longest_note = f"; up to {longest} would hold" if longest > chosen.context_tokens else ""
    cache = f"{kind} cache of {gib(kv_bytes)}"
    return f"context {chosen.context_tokens} tokens{each}{reduced_note}, {cache}{longest_note}"


def _split(chosen: Candidate, flags: LlamaFlags) -> str:
    layer_total = layer_count(chosen)
    devices = [row for row in chosen.estimate.memory if row.device != HOST and row.weights_bytes]
    if not devices:
        return "all layers on the CPU"
    where = " and ".join(f"{row.device} {gib(row.weights_bytes)}" for row in devices)
    if flags.gpu_layers == ALL_LAYERS and not flags.n_cpu_moe:
        return f"all {layer_total} layers on {where}"
    if flags.gpu_layers == ALL_LAYERS:
        moved = sum(
            layer_sizes(chosen.model.shape, read_hparams(chosen.model.shape)).expert_bytes[: flags.n_cpu_moe]
        )
        return (
            f"{where}; the experts of {flags.n_cpu_moe} of {layer_total - 1} blocks ({gib(moved)}) on the CPU"
        )
    return f"{flags.gpu_layers} of {layer_total} layers on {where}, the rest on the CPU"


def _memory(chosen: Candidate) -> str:
    parts = [
        f"{row.device} {gib(row.needed_bytes)}"
        + (f" of {gib(row.free_bytes)} free" if row.free_bytes is not None else "")
        for row in chosen.estimate.memory
    ]
    flags = chosen.flags
    prompt_cache_mib = 0 if isinstance(flags, VllmFlags) else flags.cache_ram_mib
    cache = f", prompt cache up to {prompt_cache_mib} MiB" if prompt_cache_mib else ""
    return f"needs {', '.join(parts)}{cache}"


def _ranks(flags: VllmFlags) -> str:
    if flags.enforce_eager:
        return "all on the CPU"
    on = "one GPU" if flags.tensor_parallel == 1 else f"{flags.tensor_parallel} GPUs, tensor-parallel"
    return f"all on {on}"


def _eager(flags: VllmFlags) -> str:
    return "eager, bfloat16: compiled bfloat16 gave wrong text on a CPU" if flags.enforce_eager else ""


def _at_once(chosen: Candidate) -> list[str]:
    if chosen.batch_tokens_per_s is None:
        return []
    return [f"{chosen.parallel} at once get about {rate(chosen.batch_tokens_per_s)} tokens/s in all"]


def _threads(flags: LlamaFlags, search: SearchContext) -> str:
    count, why = flags.threads, "cores this process may use"
    if search.options.threads:
        why = "as asked"
    elif search.calibration.threads:
        why = "measured the fastest here"
    elif search.hardware.cpu.quota_cpus:
        why = f"CPU quota {search.hardware.cpu.quota_cpus:g}"
    elif flags.gpu_layers == ALL_LAYERS and not flags.n_cpu_moe:
        why = "the GPU does the work"
    locked = ", weights locked in RAM" if "mlock" in (flags.load_mode or "") else ""
    return f"{count} threads ({why}){locked}"


# As llama.cpp calls them, for the dtypes that vLLM's ``auto`` stands for.
_SHORT = {"bfloat16": "bf16", "float16": "f16", "float32": "f32", "half": "f16", "float": "f32"}


def cache_type(chosen: Candidate) -> str:
    if chosen.cache_type != "auto" or not isinstance(chosen.flags, VllmFlags):
        return chosen.cache_type
    dtype = weights.served_dtype(model_config.read_config(chosen.model.shape), chosen.flags.dtype)
    return _SHORT.get(dtype, dtype)
