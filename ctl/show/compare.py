"""The comparison of machines: a block for each model, a line for each machine."""

from itertools import groupby
from typing import Any

from ctl.show.formatting import decode, table, wrap
from ctl.show.plan import ALL_LAYERS
from domain.launches.plan import HOST, Plan, Range, VllmFlags
from domain.units import duration, gib, rate

HEADS = ("BOX", "QUANT", "SPLIT", "CONTEXT", "DECODE", "PREFILL", "LOAD", "WATTS")
RIGHT_ALIGNED = frozenset(HEADS[3:])
DROPPED_FIRST = ("WATTS", "LOAD", "PREFILL", "CONTEXT", "SPLIT")
LEGEND = {
    "DECODE": "tokens/s of an answer, estimated",
    "PREFILL": "tokens/s of a prompt, estimated",
    "LOAD": "time to load the model from the disk",
    "WATTS": "by data sheet, of all GPUs, or of the chip that is CPU and GPU in one, without the rest of the "
    "machine",
    "MoE": "layers whose experts are on the CPU",
    "?": "unknown",
}
LEGEND_WIDTH = 102
INDENT = 2


def comparison_lines(data: Any, width: int | None = None) -> list[str]:
    """``data`` is the answer of /v1/compare. With as many columns as fit."""
    box_width = max(len(row["profile"]) for row in data)
    cells = [dict(zip(HEADS, _cells(row), strict=True)) for row in data]
    room = None if width is None else width - INDENT
    head, *rows = table(cells, HEADS, room, right=RIGHT_ALIGNED, dropped_first=DROPPED_FIRST)
    lines: list[str] = []
    for model, pairs in groupby(zip(data, rows, strict=True), key=lambda pair: pair[0]["model"]):
        lines += [model, *_indented(head)]
        said: list[str] = []
        for row, shown in pairs:
            refusal = f"{row['profile']:<{box_width}}  {_refusal(row)}" if row["plan"] is None else None
            lines += _indented(shown if refusal is None else wrap([refusal], room, indent=box_width + 2))
            said += [row["engine_here"]] if row.get("engine_here") else []
        lines += [*_indented(wrap(list(dict.fromkeys(said)), room, indent=0)), ""]
    return [*lines, *_legend(lines, width)]


def _legend(lines: list[str], width: int | None) -> list[str]:
    """A line for each column and sign that ``lines`` have."""
    words = {word for line in lines for word in line.split()}
    shown = [f"{sign:<9}{text}" for sign, text in LEGEND.items() if sign in words]
    return wrap(shown, min(width or LEGEND_WIDTH, LEGEND_WIDTH), indent=9)


def _indented(lines: list[str]) -> list[str]:
    return [" " * INDENT + line for line in lines]


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
    """Of a machine without a plan only its name."""
    if row["plan"] is None:
        return (row["profile"], *[""] * (len(HEADS) - 1))
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


def _refusal(row: Any) -> str:
    error = row["error"]
    needs, has = error.get("needs_bytes"), error.get("has_bytes")
    if needs is not None and has is not None and needs > has:
        return f"does not fit: needs {gib(needs)}, has {gib(has)}, lacks {gib(needs - has)}"
    return str(error["message"])
