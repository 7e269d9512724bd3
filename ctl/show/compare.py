"""The table "which box should I buy": a block for each model, a line for each machine."""

from itertools import groupby
from typing import Any

from ctl.show.formatting import shape
from ctl.show.plan import ALL_LAYERS
from domain.plan import HOST, Plan, Range, VllmFlags
from domain.units import duration, gib, rate

HEADS = ("BOX", "QUANT", "SPLIT", "CONTEXT", "DECODE", "PREFILL", "LOAD", "WATTS")
LEFT = 3  # so many columns are words
FOOT = (
    "decode, prefill: predicted tokens/s; load: from the disk; watts: what data sheets allow the GPUs",
    "together, or the chip that is CPU and GPU in one, without the machine around them; MoE: layers whose",
    "experts lie there; ?: not known",
)


def lines(data: Any) -> list[str]:
    """``data`` is what /v1/compare answers."""
    cells = [_cells(row) for row in data]
    widths = [max(map(len, column)) for column in zip(HEADS, *(row for row in cells if row), strict=True)]
    widths[0] = max([widths[0], *(len(row["profile"]) for row in data)])
    said: list[str] = []
    pairs = zip(data, cells, strict=True)
    for model, rows in groupby(pairs, key=lambda pair: pair[0]["model"]):
        said += [model, _line(HEADS, widths)]
        said += [_line(own, widths) if own else _refused(row, widths[0]) for row, own in rows]
        said.append("")
    return [*said, *FOOT]


def split(plan: Plan) -> str:
    """Where the weights lie, in a few words."""
    gpus = [row for row in plan.memory if row.device != HOST and row.weights_bytes]
    flags = plan.flags
    if not gpus:
        return "CPU"
    words = "GPU" if len(gpus) == 1 else f"{len(gpus)} GPUs"
    if isinstance(flags, VllmFlags):
        return words
    if flags.cpu_moe:
        return f"{words}, experts on CPU"
    if flags.n_cpu_moe:
        return f"{words}, {flags.n_cpu_moe} MoE on CPU"
    if flags.gpu_layers is not None and flags.gpu_layers < ALL_LAYERS:
        return f"{flags.gpu_layers} layers {words}, rest CPU"
    return words


def _cells(row: Any) -> tuple[str, ...]:
    """Empty where there is no plan."""
    if row["plan"] is None:
        return ()
    plan = shape(Plan, row["plan"])
    watts = row.get("power_limit_w")
    return (
        row["profile"],
        plan.weights.quant,
        split(plan),
        str(plan.context_tokens),
        _expected(plan.speed.decode_tokens_per_s),
        _expected(plan.speed.prefill_tokens_per_s),
        duration(plan.speed.load_s),
        "?" if watts is None else f"{watts:.0f}",
    )


def _expected(value: Range | None) -> str:
    return rate(value.expected if value else None)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    words = [
        cell.ljust(width) if index < LEFT else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return ("  " + "  ".join(words)).rstrip()


def _refused(row: Any, width: int) -> str:
    error = row["error"]
    needs, has = error.get("needs_bytes"), error.get("has_bytes")
    why = error["message"]
    if needs is not None and has is not None and needs > has:
        why = f"does not fit: needs {gib(needs)}, has {gib(has)}, lacks {gib(needs - has)}"
    return f"  {row['profile']:<{width}}  {why}"
