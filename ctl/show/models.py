"""The table of downloaded weights."""

from collections.abc import Callable
from typing import Any

from ctl.show.formatting import ago, decode, table
from domain.models.local_model import LocalModelRow
from domain.units import gib


def _verified(row: LocalModelRow) -> str:
    if row.damaged:
        return "damaged"
    if row.verified_at:
        return f"{ago(row.verified_at)} ago"
    return "" if row.other_tool or row.linked else "at download"  # other tools may not check digests


def _state(row: LocalModelRow) -> str:
    if row.running:
        return f"in use by {row.running}"
    if row.other_tool:
        return "owned by another tool"
    return "linked" if row.linked else ""


CELLS: dict[str, Callable[[LocalModelRow], str]] = {
    "MODEL": lambda row: row.model,
    "SIZE": lambda row: gib(row.size_bytes),
    "QUANT": lambda row: row.quant,
    "USED": lambda row: f"{ago(row.used_at)} ago" if row.used_at else "never",
    "PINNED": lambda row: "pinned" if row.pinned else "",
    "VERIFIED": _verified,
    "PROVEN": lambda row: str(row.proven_context_tokens or ""),
    "STATE": _state,
}
RIGHT_ALIGNED = frozenset({"SIZE", "PROVEN"})
DROPPED_FIRST = ("PROVEN", "QUANT", "VERIFIED", "USED", "PINNED", "STATE")


def decode_rows(data: Any) -> list[LocalModelRow]:
    return [decode(LocalModelRow, item) for item in data]


def table_lines(rows: list[LocalModelRow], width: int | None) -> list[tuple[str, str]]:
    """Each line with its style; as many columns as fit."""
    cells = [{head: cell(row) for head, cell in CELLS.items()} for row in rows]
    heads = tuple(
        head for head in CELLS if head != "PROVEN" or any(row.proven_context_tokens for row in rows)
    )
    lines = table(cells, heads, width, right=RIGHT_ALIGNED, dropped_first=DROPPED_FIRST)
    styles = ["bold", *("red" if row.damaged else "" for row in rows)]
    return [(line, style) for row, style in zip(lines, styles, strict=True) for line in row]


def total_line(rows: list[LocalModelRow]) -> str:
    own = [row for row in rows if not row.other_tool and not row.linked]
    total = f"{gib(sum(row.size_bytes for row in own))} in total"
    return total if len(own) == len(rows) else f"{total}, without linked weights and those of other tools"
