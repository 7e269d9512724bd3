"""The table of downloaded weights."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ctl.show.formatting import ago, decode
from domain.local_model import LocalModelRow
from domain.units import gib

if TYPE_CHECKING:
    from rich.table import Table


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
    "STATE": _state,
}
RIGHT_ALIGNED = frozenset({"SIZE"})


def decode_rows(data: Any) -> list[LocalModelRow]:
    return [decode(LocalModelRow, item) for item in data]


def build_table(rows: list[LocalModelRow]) -> "Table":
    """Imports rich."""
    from rich.table import Table  # noqa: PLC0415 - --json does without

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in CELLS:
        table.add_column(head, no_wrap=True, justify="right" if head in RIGHT_ALIGNED else "left")
    for row in rows:
        table.add_row(*(cell(row) for cell in CELLS.values()), style="red" if row.damaged else "")
    return table


def total_line(rows: list[LocalModelRow]) -> str:
    own = [row for row in rows if not row.other_tool and not row.linked]
    total = f"{gib(sum(row.size_bytes for row in own))} in total"
    return total if len(own) == len(rows) else f"{total}, without linked weights and those of other tools"
