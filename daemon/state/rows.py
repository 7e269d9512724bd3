"""From rows to values and back: JSON columns, and rows that can't be read."""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable
from typing import TypeVar

from domain.serialization import from_json, to_json

log = logging.getLogger(__name__)

T = TypeVar("T")

UNREADABLE = (ValueError, TypeError, KeyError)  # what a damaged or foreign value raises when it is read


def dump(value: object) -> str:
    return json.dumps(to_json(value))


def load(kind: type[T], text: str) -> T:
    """Raises one of UNREADABLE. What ``dump`` wrote is ASCII: anything else is damage."""
    if not text.isascii():
        raise ValueError("it has a byte that was not written")
    return from_json(kind, json.loads(text))


def load_optional(kind: type[T], text: str | None) -> T | None:
    """A value of another version's shape counts as absent: a plan is made again, a model answers again."""
    if text is None:
        return None
    try:
        return load(kind, text)
    except UNREADABLE as error:
        log.warning("stored value can't be read: kind=%s %s", kind.__name__, error)
        return None


def readable(
    rows: Iterable[sqlite3.Row],
    read: Callable[[sqlite3.Row], T],
    report: Callable[[sqlite3.Row, Exception], None],
) -> tuple[T, ...]:
    """Without the rows that another version wrote or that are damaged: one of them must not keep the others
    from being served. ``report`` is called for each of them."""
    values = []
    for row in rows:
        try:
            values.append(read(row))
        except UNREADABLE as error:
            log.warning("row can't be read: id=%s %s", row[0], error)
            report(row, error)
    return tuple(values)
