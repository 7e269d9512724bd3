"""The comparison of machines: a block for each model, a line for each machine."""

from itertools import groupby
from typing import Any

from ctl.show.formatting import align, decode, widths
from ctl.show.plan import ALL_LAYERS
from domain.plan import HOST, Plan, Range, VllmFlags
from domain.units import duration, gib, rate

HEADS = ("BOX", "QUANT", "SPLIT", "CONTEXT", "DECODE", "PREFILL", "LOAD", "WATTS")
RIGHT_ALIGNED = frozenset(range(3, len(HEADS)))
FOOT = (
    "decode, prefill: predicted tokens/s; load: from the disk; watts: by data sheet, of all GPUs, or of the",
    "chip that is CPU and GPU in one, without the rest of the machine; MoE: layers whose experts are there;",
    "?: unknown",
)


def comparison_lines(data: Any) -> list[str]:
    """``data`` is the answer of /v1/compare."""
    table = [_cells(row) for row in data]
    columns = widths([HEADS, *filter(None, table)])
    columns[0] = max([columns[0], *(len(row["profile"]) for row in data)])
    lines: list[str] = []
    pairs = zip(data, table, strict=True)
    for model, rows in groupby(pairs, key=lambda pair: pair[0]["model"]):
        lines += [model, _line(HEADS, columns)]
        lines += [
            _line(row_cells, columns) if row_cells else _refused(row, columns[0]) for row, row_cells in rows
        ]
        lines.append("")
    return [*lines, *FOOT]


def placement(plan: Plan) -> str:
    """Where the weights are, in a few words."""
    gpus = [row for row in plan.memory if row.device != HOST and row.weights_bytes]
    flags = plan.flags
    if not gpus:
        return "CPU"
    devices = "GPU" if len(gpus) == 1 else f"{len(gpus)} GPUs"
    if isinstance(flags, VllmFlags):
        return devices
    if flags.cpu_moe:
        return f"{devices}, experts on CPU"
    if flags.n_cpu_moe:
        return f"{devices}, {flags.n_cpu_moe} MoE on CPU"
    if flags.gpu_layers is not None and flags.gpu_layers < ALL_LAYERS:
        return f"{flags.gpu_layers} layers {devices}, rest CPU"
    return devices


def _cells(row: Any) -> tuple[str, ...]:
    """Empty for a machine without a plan."""
    if row["plan"] is None:
        return ()
    plan = decode(Plan, row["plan"])
    watts = row.get("power_limit_w")
    return (
        row["profile"],
        plan.weights.quant,
        placement(plan),
        str(plan.context_tokens),
        _expected(plan.speed.decode_tokens_per_s),
        _expected(plan.speed.prefill_tokens_per_s),
        duration(plan.speed.load_s),
        "?" if watts is None else f"{watts:.0f}",
    )


def _expected(value: Range | None) -> str:
    return rate(value.expected if value else None)


def _line(cells: tuple[str, ...], columns: list[int]) -> str:
    return f"  {align(cells, columns, right=RIGHT_ALIGNED)}"


def _refused(row: Any, width: int) -> str:
    error = row["error"]
    needs, has = error.get("needs_bytes"), error.get("has_bytes")
    why = error["message"]
    if needs is not None and has is not None and needs > has:
        why = f"does not fit: needs {gib(needs)}, has {gib(has)}, lacks {gib(needs - has)}"
    return f"  {row['profile']:<{width}}  {why}"
