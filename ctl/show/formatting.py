"""Small words for figures and times, and the way from an answer's JSON to a value of the domain."""

from datetime import UTC, datetime
from typing import TypeVar

from domain.errors import NodeError
from domain.serialization import from_json

T = TypeVar("T")


def shape(kind: type[T], data: object) -> T:
    """``data`` as a ``kind``. Raises: NodeError where daemon and node-ctl are of different versions."""
    try:
        return from_json(kind, data)
    except ValueError as error:
        raise NodeError(
            f"the daemon's answer can't be read: {error}",
            hint="daemon and node-ctl may be of different versions: compare node-ctl status and --version",
        ) from error


def ago(moment: str | None, *, now: datetime | None = None) -> str:
    """How long ago an ISO 8601 time was, in one unit; ``""`` for none, the text where it is no time."""
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
        if passed_s >= unit_s:  # from two of a unit on: "90 min" says more than "1 h"
            return f"{passed_s // (unit_s // 2)} {unit}"
    return f"{passed_s} s"
