"""Decodes answers of the daemon, and formats times and columns."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from domain.errors import NodeError
from domain.serialization import from_json

T = TypeVar("T")


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


def widths(rows: Iterable[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def align(cells: Sequence[str], widths: Sequence[int], *, right: Collection[int]) -> str:
    """A line of columns; those whose index is in ``right`` are right-aligned."""
    aligned = [
        cell.rjust(width) if index in right else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()
