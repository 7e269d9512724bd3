"""The plan in words: why this quant, context, cache and split, with numbers; and what else there was."""

from collections.abc import Sequence

from domain.model import Candidate
from domain.plan import HOST, LLAMA_CPP, Alternative, Plan
from domain.units import gib
from planner import hparams, quality
from planner.option import Option
from planner.resolved import ALL_LAYERS
from planner.search import Case
from planner.table import table

MOST_ALTERNATIVES = 3


def told(
    model: str,
    chosen: Option,
    found: Sequence[Option],
    candidates: Sequence[Candidate],
    case: Case,
    wanted_context: int,
) -> Plan:
    kinds = {chosen.flags.cache_type_k, chosen.flags.cache_type_v}
    return Plan(
        model=model,
        engine=LLAMA_CPP,
        weights=chosen.candidate.weights,
        context_tokens=chosen.context_tokens,
        parallel=case.parallel,
        kv_cache_type="/".join(sorted(kinds)),
        memory=chosen.estimate.memory,
        speed=chosen.estimate.speed,
        fits=chosen.estimate.fits,
        confidence=chosen.estimate.confidence,
        flags=chosen.flags,
        reasons=tuple(reasons(chosen, found, case, wanted_context)),
        alternatives=alternatives(chosen, found, candidates, case),
        layers=layers(chosen),
    )


def layers(chosen: Option) -> int:
    """As ``-ngl`` counts them."""
    return len(hparams.read(chosen.candidate.shape).layers) + 1


def reasons(chosen: Option, found: Sequence[Option], case: Case, wanted_context: int) -> list[str]:
    said = [_quant(chosen, found), _context(chosen, case, wanted_context), _split(chosen)]
    said.append(_memory(chosen))
    said.append(_threads(chosen, case))
    unknown = [
        f"GPU{index}" for index, gpu in enumerate(case.hardware.gpus) if gpu.memory_total_bytes is None
    ]
    if unknown and not any(row.device in unknown and row.weights_bytes for row in chosen.estimate.memory):
        said.append(f"{', '.join(unknown)} is not used: its memory is not known")
    return said


def _quant(chosen: Option, found: Sequence[Option]) -> str:
    loss = (
        f"adds {chosen.loss:.2g} to the perplexity"
        if chosen.loss > quality.SAME
        else "loses nothing that counts"
    )
    others = len({option.quant for option in found}) - 1
    speed = f", about {chosen.decode:.0f} tokens/s" if chosen.decode else ", speed not known here"
    among = f", the best of {others + 1} that fit" if others else ""
    return f"{chosen.quant} ({gib(chosen.candidate.weights.size_bytes)}) {loss}{among}{speed}"


def _context(chosen: Option, case: Case, wanted_context: int) -> str:
    kind = chosen.flags.cache_type_k
    cache = sum(row.kv_cache_bytes for row in chosen.estimate.memory)
    each = f" for each of {case.parallel} at once" if case.parallel > 1 else ""
    less = f", less than {wanted_context}: no more fits" if chosen.context_tokens < wanted_context else ""
    return f"context {chosen.context_tokens} tokens{each}{less}, {kind} cache of {gib(cache)}"


def _split(chosen: Option) -> str:
    flags = chosen.flags
    every = layers(chosen)
    used = [row for row in chosen.estimate.memory if row.device != HOST and row.weights_bytes]
    if not used:
        return "all layers on the CPU"
    where = " and ".join(f"{row.device} {gib(row.weights_bytes)}" for row in used)
    if flags.gpu_layers == ALL_LAYERS and not flags.n_cpu_moe:
        return f"all {every} layers on {where}"
    if flags.gpu_layers == ALL_LAYERS:
        moved = sum(
            table(chosen.candidate.shape, hparams.read(chosen.candidate.shape)).experts[: flags.n_cpu_moe]
        )
        return f"{where}; the experts of {flags.n_cpu_moe} of {every - 1} blocks ({gib(moved)}) on the CPU"
    return f"{flags.gpu_layers} of {every} layers on {where}, the rest on the CPU"


def _memory(chosen: Option) -> str:
    parts = [
        f"{row.device} {gib(row.needed_bytes)}"
        + (f" of {gib(row.free_bytes)} free" if row.free_bytes is not None else "")
        for row in chosen.estimate.memory
    ]
    cache = f", prompt cache up to {chosen.flags.cache_ram_mib} MiB" if chosen.flags.cache_ram_mib else ""
    return f"needs {', '.join(parts)}{cache}"


def _threads(chosen: Option, case: Case) -> str:
    count, why = chosen.flags.threads, "cores this process may use"
    if case.wish.threads:
        why = "as asked"
    elif case.calibration.threads:
        why = "measured the fastest here"
    elif case.hardware.cpu.quota_cpus:
        why = f"CPU quota {case.hardware.cpu.quota_cpus:g}"
    elif chosen.flags.gpu_layers == ALL_LAYERS and not chosen.flags.n_cpu_moe:
        why = "the GPU does the work"
    locked = ", weights locked in RAM" if "mlock" in (chosen.flags.load_mode or "") else ""
    return f"{count} threads ({why}){locked}"


def alternatives(
    chosen: Option, found: Sequence[Option], candidates: Sequence[Candidate], case: Case
) -> tuple[Alternative, ...]:
    """Better ones with what they lack, then faster ones with what they lose."""
    said = [_unfit(one, chosen, case) for one in candidates if _better_unfit(one, chosen, found)]
    for option in sorted(found, key=lambda one: (one.loss, -(one.decode or 0))):
        if option is chosen:
            continue
        if option.candidate is chosen.candidate:
            said.append(_other_cache(option, chosen))
        elif all(option.quant != one.what for one in said):
            said.append(_other_quant(option, chosen))
    return tuple(said[:MOST_ALTERNATIVES])


def _better_unfit(one: Candidate, chosen: Option, found: Sequence[Option]) -> bool:
    fits = any(option.candidate is one for option in found)
    return not fits and quality.loss(one) < chosen.loss


def _unfit(one: Candidate, chosen: Option, case: Case) -> Alternative:
    more = one.weights.size_bytes - chosen.candidate.weights.size_bytes
    del case
    return Alternative(
        one.weights.quant,
        f"its weights are {gib(more)} larger: it does not fit",
        None,
        chosen.needed_bytes + more,
    )


def _other_cache(option: Option, chosen: Option) -> Alternative:
    kind, own = option.flags.cache_type_k, chosen.flags.cache_type_k
    cache = [sum(row.kv_cache_bytes for row in one.estimate.memory) for one in (option, chosen)]
    change = cache[0] - cache[1]
    word = f"{gib(-change)} less" if change < 0 else f"{gib(change)} more"
    why = "costs some accuracy at long contexts" if own == "f16" else "leaves less on the GPU"
    return Alternative(
        f"{option.quant} with {kind} cache",
        f"{word} for the cache; {why}",
        option.decode,
        option.needed_bytes,
    )


def _other_quant(option: Option, chosen: Option) -> Alternative:
    if option.loss > chosen.loss:
        why = f"adds {option.loss:.2g} to the perplexity, {chosen.quant} {chosen.loss:.2g}"
    else:
        why = _slower(option, chosen)
    return Alternative(option.quant, why, option.decode, option.needed_bytes)


def _slower(option: Option, chosen: Option) -> str:
    more = option.needed_bytes - chosen.needed_bytes
    size = f"needs {gib(more)} more" if more > 0 else "is no better"
    if option.decode and chosen.decode and option.decode < chosen.decode:
        return f"{option.decode:.0f} instead of {chosen.decode:.0f} tokens/s, and {size}"
    return size
