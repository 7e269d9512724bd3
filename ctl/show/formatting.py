"""Decodes answers of the daemon; formats times, tables and lines for terminals of any width."""

import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from domain.errors import NodeError
from domain.serialization import from_json

T = TypeVar("T")

GAP = 2  # spaces between columns, and before what did not fit beside the first one


def decode(kind: type[T], data: object) -> T:
    """``data`` as a ``kind``. Raises: NodeError for JSON of another version of the daemon."""
    try:
        return from_json(kind, data)
    except ValueError as error:
        raise NodeError(
            f"the daemon's answer can't be decoded: {error}",
            hint="daemon and node-ctl may be of different versions: compare node-ctl status and --version",
        ) from error


def ago(moment: str | None, *, now: datetime | None = None) -> str:
    """How long ago an ISO 8601 time was, in one unit; ``""`` for ``None``, the text itself if invalid."""
    if moment is None:
        return ""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    passed_s = max(0, int(((now or datetime.now(UTC)) - then).total_seconds()))
    for unit, unit_s in (("d", 2 * 86400), ("h", 2 * 3600), ("min", 2 * 60)):
        if passed_s >= unit_s:  # from two of a unit on: "90 min" is more precise than "1 h"
            return f"{passed_s // (unit_s // 2)} {unit}"
    return f"{passed_s} s"


def wrap(lines: Iterable[str], width: int | None, *, indent: int) -> list[str]:
    """Lines that fit ``width``; where one goes on, it is indented. Words are not broken. In a pipe, where
    ``width`` is ``None``, nothing is wrapped."""
    if width is None:
        return list(lines)
    wrapper = textwrap.TextWrapper(
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return [part for line in lines for part in (wrapper.wrap(line) or [""])]


def widths(rows: Iterable[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def align(cells: Sequence[str], widths: Sequence[int], *, right: Collection[int]) -> str:
    """A line of columns; those whose index is in ``right`` are right-aligned."""
    aligned = [
        cell.rjust(width) if index in right else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()


def table(
    rows: Sequence[Mapping[str, str]],
    heads: Sequence[str],
    width: int | None,
    *,
    right: Collection[str] = (),
    dropped_first: Sequence[str] = (),
) -> list[list[str]]:
    """The lines of the head, then those of each row: one, or two where even without the columns of
    ``dropped_first`` the first one leaves no room for the others. ``width`` is ``None`` in a pipe."""
    whole = [dict(zip(heads, heads, strict=True)), *rows]
    shown = list(heads)
    for head in (head for head in dropped_first if head in heads):
        if width is None or _width(whole, shown) <= width:
            break
        shown.remove(head)
    if width is None or _width(whole, shown) <= width:
        return [[line] for line in _lines(whole, shown, right)]
    first, *others = shown
    below = [" " * GAP + line for line in _lines(whole, others, right)]
    return [[row[first], line] for row, line in zip(whole, below, strict=True)]


def _width(rows: Sequence[Mapping[str, str]], heads: Sequence[str]) -> int:
    return sum(widths(_cells(rows, heads))) + GAP * (len(heads) - 1)


def _cells(rows: Sequence[Mapping[str, str]], heads: Sequence[str]) -> list[list[str]]:
    return [[row[head] for head in heads] for row in rows]


def _lines(rows: Sequence[Mapping[str, str]], heads: Sequence[str], right: Collection[str]) -> list[str]:
    cells = _cells(rows, heads)
    columns = widths(cells)
    numbers = {index for index, head in enumerate(heads) if head in right}
    return [align(row, columns, right=numbers) for row in cells]
