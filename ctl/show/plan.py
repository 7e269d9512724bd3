"""A plan in five lines with the legend of their marks, its reasons, and the estimate of a command."""

import shlex
from typing import Any

from ctl.show.formatting import decode, wrap
from domain.launches.plan import (
    HOST,
    Confidence,
    DeviceMemory,
    Estimate,
    Plan,
    Range,
    Speed,
    SpeedSource,
    VllmFlags,
)
from domain.launches.shortfall import Shortfall
from domain.models.model import Companion
from domain.units import duration, gib, rate

COLUMN = 11  # as wide as "999.9 GiB" with a gap; estimates of a wrong command may be wider
HEADS = ("device", "weights", "KV cache", "compute", "overhead", "needed", "free")
SHORT_HEADS = ("device", "weights", "KV cache", "needed", "free")
FULL_WIDTH = 10 + 6 * COLUMN
ALL_LAYERS = 999  # in plans: more layers than any model has
MEMORY_MARKS = {
    Confidence.ESTIMATED: "computed from model and machine",
    Confidence.ENGINE_CHECKED: "as the engine reports it for this command, with room for its caches",
    Confidence.MEASURED: "as the engine allocated it in a run here, with room for its caches",
}
SPEED_MARKS = {
    SpeedSource.PREDICTED: "computed from model and machine",
    SpeedSource.CORRECTED: "computed, and corrected by runs of other models or options here",
    SpeedSource.MEASURED: "computed, and corrected by its own runs here",
}
CONTINUED = " \\"
RANGE = "(a to b): nine of ten runs are in between"


def summary_lines(plan: Plan) -> list[str]:
    """What to know first, model, engine, context, memory, speed."""
    weights = plan.weights
    revision = f" {weights.revision[:12]}" if weights.revision else ""
    slots = "1 slot" if plan.parallel == 1 else f"{plan.parallel} slots"
    if plan.pool_tokens:
        slots = f"{slots} that share {plan.pool_tokens} (each sure of {plan.guaranteed_tokens})"
    origin = f"{weights.source}: {weights.repo}{revision}"
    memory = "; ".join(map(_device, plan.memory))
    return [
        *(f"note      {note}" for note in plan.notes),
        f"model     {plan.model}, {weights.quant}, {gib(weights.size_bytes)} ({origin})",
        f"engine    {plan.engine}, {_split(plan)}",
        f"context   {plan.context_tokens} tokens, {slots}, {_cache(plan)}",
        f"memory    {memory} [{plan.confidence}]{_from_disk(plan)}",
        f"speed     {_speed(plan)}",
    ]


def _speed(plan: Plan) -> str:
    """An embedding or reranking model generates nothing."""
    is_unknown = plan.speed.decode_tokens_per_s is None and plan.speed.prefill_tokens_per_s is None
    words = format_speed(plan.speed)
    return f"prompt {words}" if plan.weights.kind.is_pooled and is_unknown else words


def _cache(plan: Plan) -> str:
    """An encoder has none."""
    has_none = plan.weights.kind.is_pooled and not any(row.kv_cache_bytes for row in plan.memory)
    return "no KV cache" if has_none else f"KV cache {plan.kv_cache_type}"


def legend_line(plan: Plan) -> str:
    """What the marks of ``summary_lines`` mean."""
    return _legend(plan.confidence, plan.speed)


def _speed_mark(source: SpeedSource) -> str:
    return f"[{source.mark}]"


def _legend(confidence: Confidence, speed: Speed) -> str:
    """One line, docs/operations.md explains more."""
    sources = [source for value, source in _speeds(speed) if value is not None]
    meanings = {f"[{confidence}]": MEMORY_MARKS[confidence]}
    for source in sources:
        meanings.setdefault(_speed_mark(source), SPEED_MARKS[source])
    parts = [f"{mark} {meaning}" for mark, meaning in meanings.items()]
    return f"legend    {'; '.join([*parts, RANGE] if sources else parts)}"


def _speeds(speed: Speed) -> tuple[tuple[object, SpeedSource], ...]:
    return (
        (speed.decode_tokens_per_s, speed.decode_source),
        (speed.prefill_tokens_per_s, speed.prefill_source),
    )


def _from_disk(plan: Plan) -> str:
    return "" if plan.fits else ", the rest is read from the disk for each token"


def command_lines(plan: Plan, width: int | None) -> list[str]:
    """The engine command, ready to paste: within ``width`` as far as its words allow, each line but the last
    with a backslash; in a pipe, where ``width`` is ``None``, one line."""
    env = [f"{key}={value}" for key, value in plan.env.items()]
    if width is None:
        return [shlex.join([*env, *plan.argv])]
    first, *words = plan.argv
    parts: list[list[str]] = [*([variable] for variable in env), [first]]
    for word in words:  # an option stays with its values
        parts.append([word]) if word.startswith("-") else parts[-1].append(word)
    lines: list[str] = []
    for text in map(shlex.join, parts):
        if lines and len(lines[-1]) + 1 + len(text) + len(CONTINUED) <= width:
            lines[-1] += f" {text}"
        else:
            lines.append(f"  {text}" if lines else text)
    return [line + CONTINUED for line in lines[:-1]] + lines[-1:]


def explanation_lines(plan: Plan) -> list[str]:
    """The reasons for the plan, and the alternatives."""
    lines = ["", "why"]
    lines += [f"  - {reason}" for reason in plan.reasons]
    if plan.weights.beside:
        lines += ["", "more files in the repository, for --mmproj, --model-draft or other uses"]
    lines += [f"  - {_companion(extra)}" for extra in plan.weights.beside]
    if plan.weights.passed_over:
        lines += ["", "passed over"]
    lines += [f"  - {row.name}: {row.why}" for row in plan.weights.passed_over]
    if plan.alternatives:
        lines += ["", "not chosen"]
    for other in plan.alternatives:
        figures = [f"{rate(other.decode_tokens_per_s)} tokens/s"] if other.decode_tokens_per_s else []
        figures += [gib(other.needed_bytes)] if other.needed_bytes else []
        price = f" ({', '.join(figures)})" if figures else ""
        lines.append(f"  - {other.what}{price}: {other.why_not}")
    return lines


def shortfall_lines(shortfall: Shortfall) -> list[str]:
    """What is short, what fits instead, and what would hold the model."""
    placed, *devices = shortfall.short
    lines = ["does not fit", f"  {placed}", *(f"  - {sentence}" for sentence in devices)]
    for title, sentences in (
        ("what fits here instead", shortfall.instead),
        ("what would hold it", shortfall.holds),
    ):
        lines += ["", title, *(f"  - {sentence}" for sentence in sentences or ("nothing that is known",))]
    return lines


def beside_lines(plan: Plan) -> list[str]:
    """The files that are in the repository besides the model."""
    beside = [f"beside    {_companion(extra)}" for extra in plan.weights.beside]
    return [*beside, *(f"no use    {row.name}: {row.why}" for row in plan.weights.passed_over)]


def _companion(extra: Companion) -> str:
    method = f", {extra.draft}" if extra.draft else ""
    return f"{extra.file.name} ({extra.role}{method}, {gib(extra.file.size_bytes)})"


def estimate_lines(data: Any, width: int | None) -> list[str]:
    """Memory of each device, speed, and whether it fits."""
    estimate = decode(Estimate, data)
    table = [(row.device, *(gib(figure) for figure in _figures(row))) for row in estimate.memory]
    heads = HEADS if width is None or width >= FULL_WIDTH else SHORT_HEADS
    cells = [[row[HEADS.index(head)] for head in heads] for row in (HEADS, *table)]
    column = max([COLUMN if heads is HEADS else 0, *(len(cell) + 2 for _, *row in cells for cell in row)])
    lines = [f"{name:<10}" + "".join(f"{cell:>{column}}" for cell in row) for name, *row in cells]
    below = [
        f"speed     {format_speed(estimate.speed)}",
        f"{'fits' if estimate.fits else 'does not fit'} [{estimate.confidence}]",
    ]
    notes = [f"  - {line}" for line in estimate.notes]
    marks = [_legend(estimate.confidence, estimate.speed)]
    return [
        *lines,
        *wrap(below, width, indent=10),
        *wrap(notes, width, indent=4),
        *wrap(marks, width, indent=10),
    ]


def _figures(row: DeviceMemory) -> tuple[int | None, ...]:
    return (
        row.weights_bytes,
        row.kv_cache_bytes,
        row.compute_bytes,
        row.overhead_bytes,
        row.needed_bytes,
        row.free_bytes,
    )


def format_speed(speed: Speed) -> str:
    """``85 tokens/s (70 to 100) [from its runs], prompt 900 tokens/s (800 to 1000) [estimated], loads in
    1.2 s``; one label where both have the same source."""
    mark = f" {_speed_mark(speed.decode_source)}"
    if speed.decode_tokens_per_s is None and speed.prefill_tokens_per_s is not None:  # an embedding model
        words = [f"prompt {_range(speed.prefill_tokens_per_s)} {_speed_mark(speed.prefill_source)}"]
    elif speed.prefill_tokens_per_s is None:
        words = [f"{_range(speed.decode_tokens_per_s)}{mark}"]
    else:
        own = "" if speed.prefill_source is speed.decode_source else mark
        words = [f"{_range(speed.decode_tokens_per_s)}{own}"]
        words.append(f"prompt {_range(speed.prefill_tokens_per_s)} {_speed_mark(speed.prefill_source)}")
    if speed.load_s is not None:
        words.append(f"loads in {duration(speed.load_s)}{_warm_load(speed)}")
    return ", ".join(words)


def _warm_load(speed: Speed) -> str:
    """The load time with the file in the page cache, where that is much shorter."""
    cold, warm = speed.load_s, speed.load_warm_s
    return f", from the page cache in {duration(warm)}" if cold and warm and warm < 0.7 * cold else ""


def _range(value: Range | None) -> str:
    if value is None:
        return "? tokens/s"
    return f"{rate(value.expected)} tokens/s ({rate(value.low)} to {rate(value.high)})"


def _device(memory: DeviceMemory) -> str:
    return f"{memory.device} {gib(memory.needed_bytes)} needed, {gib(memory.free_bytes)} free"


def _split(plan: Plan) -> str:
    gpus = [device.device for device in plan.memory if device.device != HOST and device.weights_bytes]
    flags = plan.flags
    if isinstance(flags, VllmFlags):
        ranks = f"tensor-parallel {flags.tensor_parallel}"
        return f"{', '.join(gpus) or 'CPU'}, {ranks}, {flags.dtype}"
    threads = ", 1 thread" if flags.threads == 1 else f", {flags.threads} threads" if flags.threads else ""
    if not gpus or not flags.gpu_layers:
        return f"all on the CPU{threads}"
    words = f"{_layers(flags.gpu_layers, plan.layers)} on {' + '.join(gpus)}"
    if flags.cpu_moe:
        words += ", all experts on the CPU"
    elif flags.n_cpu_moe:
        words += f", the experts of {flags.n_cpu_moe} layers on the CPU"
    return words + threads


def _layers(on_gpus: int, total: int | None) -> str:
    """``total`` is unknown for a plan stored by an older daemon."""
    if total is None:
        return "all layers" if on_gpus >= ALL_LAYERS else f"{on_gpus} layers"
    return f"all {total} layers" if on_gpus >= total else f"{on_gpus} of {total} layers"
