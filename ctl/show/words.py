"""Small words for figures and times, and the way from an answer's JSON to a value of the domain."""

from datetime import UTC, datetime
from typing import TypeVar

from domain.errors import NodeError
from domain.jsonable import from_json
from domain.units import duration

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


def rate(tokens_per_s: float | None) -> str:
    """``7.31`` -> ``"7.3"``, ``85.4`` -> ``"85"``; unknown -> ``"?"``."""
    if tokens_per_s is None:
        return "?"
    return f"{tokens_per_s:.1f}" if tokens_per_s < 20 else f"{tokens_per_s:.0f}"


def ago(moment: str | None, *, now: datetime | None = None) -> str:
    """How long ago an ISO 8601 time was; ``""`` for none, the text itself where it is no time."""
    if moment is None:
        return ""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return duration(max(0, int(((now or datetime.now(UTC)) - then).total_seconds())))
