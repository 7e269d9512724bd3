"""Launches: the table of ``ps``, and the summary of one launch."""

import json
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ctl.show.formatting import ago, decode
from ctl.show.plan import summary_lines
from ctl.terminal import PIPE_WIDTH
from domain.launch import LaunchRow, LaunchState
from domain.plan import Plan
from domain.units import duration, gib, rate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STYLES = {
    LaunchState.READY: "green",
    LaunchState.FAILED: "red",
    LaunchState.DEGRADED: "yellow",
    LaunchState.STOPPED: "dim",
}


def _state(row: LaunchRow) -> str:
    if not row.restarts:
        return str(row.state)
    return f"{row.state} ({row.restarts} restart{'' if row.restarts == 1 else 's'})"


CELLS: dict[str, Callable[[LaunchRow], str]] = {
    "NAME": lambda row: row.name,
    "STATE": _state,
    "MODEL": lambda row: row.model,
    "ENGINE": lambda row: row.engine or "",
    "QUANT": lambda row: row.quant or "",
    "CONTEXT": lambda row: "" if row.context_tokens is None else str(row.context_tokens),
    "MEMORY": lambda row: gib(sum(device.needed_bytes for device in row.memory)) if row.memory else "",
    "TOKENS/S": lambda row: "" if row.decode_tokens_per_s is None else rate(row.decode_tokens_per_s),
    "SINCE": lambda row: ago(row.since),
    "ENDPOINT": lambda row: row.endpoint or "",
}
RIGHT_ALIGNED = frozenset({"CONTEXT", "MEMORY", "TOKENS/S", "SINCE"})
DROPPED_FIRST = ("ENGINE", "MODEL", "SINCE", "QUANT", "CONTEXT", "MEMORY", "TOKENS/S")
QUESTION = "Name the capital of France."


def decode_rows(data: Any) -> list[LaunchRow]:
    """Rows in the daemon's order."""
    return [decode(LaunchRow, item) for item in data]


def build_table(rows: list[LaunchRow], screen: "Console") -> "Table":
    """One line for each launch, with as many columns as fit on ``screen``. Imports rich."""
    from rich.measure import Measurement  # noqa: PLC0415 - --json and the launch summary do without rich

    dropped: set[str] = set()
    table = _table(rows, dropped)
    for head in DROPPED_FIRST:
        if Measurement.get(screen, screen.options.update(width=PIPE_WIDTH), table).maximum <= screen.width:
            break
        dropped.add(head)
        table = _table(rows, dropped)
    return table


def _table(rows: list[LaunchRow], dropped: set[str]) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    shown = [head for head in CELLS if head not in dropped]
    for head in shown:
        table.add_column(head, no_wrap=True, justify="right" if head in RIGHT_ALIGNED else "left")
    for row in rows:
        table.add_row(*(CELLS[head](row) for head in shown), style=STYLES.get(row.state, ""))
    return table


def launch_lines(detail: Any, *, is_new: bool = True) -> list[str]:
    """The plan in five lines, measured next to predicted speed, what was reused, and a request to try.
    ``is_new`` is false for a launch that was served already."""
    row = decode(LaunchRow, detail["launch"])
    plan = decode(Plan, detail["plan"]) if detail.get("plan") else None
    lines = summary_lines(plan) if plan else []
    if measured := detail.get("measured"):
        predicted = plan.speed.decode_tokens_per_s if plan else None
        # Unknown for an engine that outlived the daemon which started it.
        loaded = "" if measured["load_s"] is None else f" loaded in {duration(measured['load_s'])},"
        lines.append(
            f"measured  {rate(measured['decode_tokens_per_s'])} tokens/s"
            f" (predicted {rate(predicted.expected if predicted else None)}),"
            f"{loaded} answered {(measured['answer'] or '').strip()!r}"
        )
    reused = (
        detail["reused"]
        if is_new
        else [f"the engine that has served it for {ago(row.since)} (pid {row.pid})"]
    )
    if reused:
        lines.append(f"reused    {'; '.join(reused)}")
    if row.endpoint:
        lines += [f"endpoint  {api_base(row.endpoint)}", "", f"  {curl(row)}"]
    return lines


def api_base(endpoint: str) -> str:
    """The base URL of the OpenAI API, with ``/v1``."""
    base = endpoint.rstrip("/")
    return base if base.endswith("/v1") else f"{base}/v1"


def curl(row: LaunchRow) -> str:
    """A request to the served model, ready to paste."""
    body = {"model": row.name, "messages": [{"role": "user", "content": QUESTION}]}
    url = f"{api_base(row.endpoint or '')}/chat/completions"
    return shlex.join(["curl", "-s", url, "-H", "Content-Type: application/json", "-d", json.dumps(body)])
