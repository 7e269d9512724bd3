"""Launches: the table of ``ps``, the summary of one launch, and where the memory of each device is."""

import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from ctl.show.formatting import ago, decode, table, wrap
from ctl.show.plan import legend_line, summary_lines
from ctl.terminal import columns
from domain.launches.launch import LaunchRow, LaunchState
from domain.launches.plan import Plan, Range
from domain.launches.serving import Policy, TenantPolicy
from domain.machine.budget import DeviceBudget, Share
from domain.models.kinds import Kind
from domain.units import counted, duration, gib, rate

STYLES = {
    LaunchState.READY: "green",
    LaunchState.FAILED: "red",
    LaunchState.DEGRADED: "yellow",
    LaunchState.STOPPED: "dim",
}


def serving_text(row: LaunchRow) -> str:
    """``on demand, stops when idle for 30 min 00 s, priority 2, pinned``; empty for what is always served."""
    words = [] if row.policy is Policy.ALWAYS else [str(row.policy).replace("-", " ")]
    words += [f"stops when idle for {duration(row.idle_s)}"] if row.idle_s else []
    words += [f"priority {row.priority}"] if row.priority else []
    words += ["pinned"] if row.pinned else []
    words += ["yields to other programs"] if row.tenants is TenantPolicy.YIELD else []
    return ", ".join(words)


def _state(row: LaunchRow) -> str:
    if row.starts_on_request:
        return f"{row.state} (on demand)"
    if not row.restarts:
        return str(row.state)
    return f"{row.state} ({counted(row.restarts, 'restart')})"


def context_cell(row: LaunchRow) -> str:
    """The planned context, with what was loaded where that differs, and the depth that was proven."""
    if row.context_tokens is None:
        return ""
    loaded, proven = row.loaded_context_tokens, row.proven_context_tokens
    words = [str(row.context_tokens)]
    sure = row.guaranteed_context_tokens
    words += [f"each sure of {sure}"] if sure and sure < row.context_tokens else []
    words += [f"loaded {loaded}"] if loaded not in (None, row.context_tokens) else []
    words += [f"proven {proven}"] if proven else []
    return ", ".join(words)


CELLS: dict[str, Callable[[LaunchRow], str]] = {
    "NAME": lambda row: row.name,
    "STATE": _state,
    "MODEL": lambda row: row.model,
    "ENGINE": lambda row: row.engine or "",
    "QUANT": lambda row: row.quant or "",
    "CONTEXT": context_cell,
    "MEMORY": lambda row: gib(sum(device.needed_bytes for device in row.memory)) if row.memory else "",
    "TOKENS/S": lambda row: "" if row.decode_tokens_per_s is None else rate(row.decode_tokens_per_s),
    "SINCE": lambda row: ago(row.since),
    "ENDPOINT": lambda row: client_base(row) if row.endpoint else "",
}
RIGHT_ALIGNED = frozenset({"CONTEXT", "MEMORY", "TOKENS/S", "SINCE"})
DROPPED_FIRST = ("ENGINE", "MODEL", "SINCE", "QUANT", "CONTEXT", "MEMORY", "TOKENS/S")
QUESTION = "Name the capital of France."
TEXTS = ["Paris is the capital of France.", "Bananas grow in warm places."]


def decode_rows(data: Any) -> list[LaunchRow]:
    """Rows in the daemon's order."""
    return [decode(LaunchRow, item) for item in data]


def table_lines(rows: list[LaunchRow], width: int | None) -> list[tuple[str, str]]:
    """The lines of ``ps``, each with its style; as many columns as fit."""
    cells = [{head: cell(row) for head, cell in CELLS.items()} for row in rows]
    lines = table(cells, tuple(CELLS), width, right=RIGHT_ALIGNED, dropped_first=DROPPED_FIRST)
    styles = ["bold", *(STYLES.get(row.state, "") for row in rows)]
    return [(line, style) for row, style in zip(lines, styles, strict=True) for line in row]


def launch_lines(detail: Any, *, is_new: bool = True) -> list[str]:
    """The plan in five lines, measured next to predicted speed, what was reused, and a request to try.
    ``is_new`` is false for a launch that was served already."""
    row = decode(LaunchRow, detail["launch"])
    plan = decode(Plan, detail["plan"]) if detail.get("plan") else None
    lines = summary_lines(plan) if plan else []
    if measured := detail.get("measured"):
        # Unknown for an engine that outlived the daemon which started it.
        loaded = "" if measured["load_s"] is None else f" loaded in {duration(measured['load_s'])},"
        answer = (measured["answer"] or "").strip()
        lines.append(f"measured  {measured_speed(measured, plan)},{loaded} answered {answer!r}")
    reused = (
        detail["reused"]
        if is_new
        else [f"the engine that has served it for {ago(row.since)} (pid {row.pid})"]
    )
    if reused:
        lines.append(f"reused    {'; '.join(reused)}")
    lines += [legend_line(plan)] if plan else []
    lines = wrap(lines, columns(), indent=10)
    if row.endpoint:  # to be pasted, so it is not wrapped
        kind = plan.weights.kind if plan else Kind.MODEL
        lines += [f"endpoint  {client_base(row)}", "", f"  {curl(row, kind)}"]
    return lines


def measured_speed(measured: Any, plan: Plan | None) -> str:
    """What the test question of the start was answered with, beside what the plan expected."""
    found = measured["decode_tokens_per_s"]
    if plan and plan.weights.kind.is_pooled:
        return f"prompt {rate(measured.get('prefill_tokens_per_s'))} tokens/s at the start"
    text = f"{rate(found)} tokens/s at the start"
    expected = plan.speed.decode_tokens_per_s if plan else None
    if found is None or expected is None:
        return text
    if found < expected.low:
        return f"{text} (less than the {_range(expected)} expected: other work may slow it)"
    if found > expected.high:
        return f"{text} (more than the {_range(expected)} expected)"
    return f"{text} (within the {_range(expected)} expected)"


def _range(expected: Range) -> str:
    return f"{rate(expected.low)} to {rate(expected.high)}"


def client_base(row: LaunchRow) -> str:
    """The base URL that a client of OpenAI's API needs: that of the gateway, else the engine's own."""
    return api_base(row.gateway or row.endpoint or "")


def api_base(endpoint: str) -> str:
    """The base URL of the OpenAI API, with ``/v1``."""
    base = endpoint.rstrip("/")
    return base if base.endswith("/v1") else f"{base}/v1"


def curl(row: LaunchRow, kind: Kind = Kind.MODEL) -> str:
    """A request to the served model, ready to paste."""
    body: dict[str, Any] = {"model": row.name, "messages": [{"role": "user", "content": QUESTION}]}
    path = "chat/completions"
    if kind is Kind.EMBEDDING:
        path, body = "embeddings", {"model": row.name, "input": TEXTS}
    elif kind is Kind.RERANKER:
        path, body = "rerank", {"model": row.name, "query": QUESTION, "documents": TEXTS}
    url = f"{client_base(row)}/{path}"
    return shlex.join(["curl", "-s", url, "-H", "Content-Type: application/json", "-d", json.dumps(body)])


def memory_lines(data: Any) -> Iterator[str]:
    for item in data:
        yield from _device_lines(decode(DeviceBudget, item))


def _device_lines(one: DeviceBudget) -> Iterator[str]:
    name = f" ({one.name})" if one.name else ""
    yield f"{one.device}{name}: {gib(one.left_bytes)} left of {gib(one.total_bytes)}"
    rows: list[tuple[str, int | None, str]]
    rows = [(share.launch, share.needed_bytes, _share(share)) for share in one.shares]
    rows += [(name, None, "has ended, its memory has not come back yet") for name in one.returning]
    for tenant in one.tenants:
        rows.append((tenant.name or "a process", tenant.memory_bytes, f"pid {tenant.pid}, not ours"))
    rows += [
        ("others", one.others_bytes, "in use by other programs, in all"),
        ("margin", one.margin_bytes, "kept free"),
        ("free", one.free_bytes, "as the machine shows it"),
    ]
    for what, count_bytes, note in rows:
        yield f"  {what:<24} {'' if count_bytes is None else gib(count_bytes):>10}  {note}"


def _share(share: Share) -> str:
    words = [share.state, share.policy.replace("-", " ")]
    words += [f"{gib(share.reserved_bytes)} of it reserved"] if share.reserved_bytes else []
    return ", ".join(words)
