"""Launches: the table of ``ps``, and what one launch came to."""

import json
import shlex
from typing import TYPE_CHECKING, Any

from ctl.show.plan import five_lines, plan_of
from ctl.show.words import ago, rate, shape
from domain.launch import LaunchRow, LaunchState
from domain.units import duration, gib

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {
    LaunchState.READY: "green",
    LaunchState.FAILED: "red",
    LaunchState.DEGRADED: "yellow",
    LaunchState.STOPPED: "dim",
}
QUESTION = "What is the capital of France?"


def rows_of(data: Any) -> list[LaunchRow]:
    """The rows as the daemon listed them."""
    return [shape(LaunchRow, item) for item in data]


def table_of(rows: list[LaunchRow]) -> "Table":
    """One line a launch. Imports rich."""
    from rich.table import Table  # noqa: PLC0415 - --json and the launch summary do without it

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("NAME", "STATE", "MODEL", "ENGINE", "QUANT", "CONTEXT", "MEMORY", "TOKENS/S", "SINCE"):
        table.add_column(head, no_wrap=True, justify="right" if head in ("CONTEXT", "TOKENS/S") else "left")
    table.add_column("ENDPOINT", no_wrap=True)
    for row in rows:
        restarts = f" ({row.restarts} restarts)" if row.restarts else ""
        table.add_row(
            row.name,
            f"{row.state}{restarts}",
            row.model,
            row.engine or "",
            row.quant or "",
            "" if row.context_tokens is None else str(row.context_tokens),
            ", ".join(f"{device.device} {gib(device.needed_bytes)}" for device in row.memory),
            "" if row.decode_tokens_per_s is None else rate(row.decode_tokens_per_s),
            ago(row.since),
            row.endpoint or "",
            style=STYLES.get(row.state, ""),
        )
    return table


def launched_lines(detail: Any) -> list[str]:
    """The plan in five lines, measured beside predicted, what was reused, and how to talk to it."""
    row = shape(LaunchRow, detail["launch"])
    plan = plan_of(detail["plan"]) if detail.get("plan") else None
    lines = five_lines(plan) if plan else []
    if measured := detail.get("measured"):
        predicted = plan.speed.decode_tokens_per_s if plan else None
        lines.append(
            f"measured  {rate(measured['decode_tokens_per_s'])} tokens/s"
            f" (predicted {rate(predicted.expected if predicted else None)}),"
            f" loaded in {duration(measured['load_s'])}, answered {(measured['answer'] or '').strip()!r}"
        )
    if reused := detail.get("reused"):
        lines.append(f"reused    {'; '.join(reused)}")
    if row.endpoint:
        lines += [f"endpoint  {api_base(row.endpoint)}", "", f"  {curl(row)}"]
    return lines


def api_base(endpoint: str) -> str:
    """The base of the OpenAI API, with its ``/v1``."""
    base = endpoint.rstrip("/")
    return base if base.endswith("/v1") else f"{base}/v1"


def curl(row: LaunchRow) -> str:
    """A question to the served model, ready to paste."""
    body = {"model": row.name, "messages": [{"role": "user", "content": QUESTION}]}
    url = f"{api_base(row.endpoint or '')}/chat/completions"
    return shlex.join(["curl", "-s", url, "-H", "Content-Type: application/json", "-d", json.dumps(body)])
