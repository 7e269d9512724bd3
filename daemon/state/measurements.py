"""The table of measurements: values of this machine and its engines, so that they are measured once."""

import json
import logging
from typing import TypeVar

from daemon.state.database import Database
from daemon.state.records import now
from daemon.state.rows import UNREADABLE, dump
from domain.serialization import value_from_json

log = logging.getLogger(__name__)

T = TypeVar("T")

MEASUREMENTS_MAX = 2000
DELETE_OLD = """
    DELETE FROM facts WHERE key IN (
        SELECT key FROM facts ORDER BY measured_at DESC, rowid DESC LIMIT -1 OFFSET ?)"""


class MeasurementTable:
    """Its methods block and raise StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, key: str, value: object, *, boot_id: str | None = None) -> None:
        """With a ``boot_id`` it holds until the next boot. The latest MEASUREMENTS_MAX are kept; what is
        deleted is measured again."""
        with self._database.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO facts (key, value, boot_id, measured_at) VALUES (?, ?, ?, ?)",
                (key, dump(value), boot_id, now()),
            )
            db.execute(DELETE_OLD, (MEASUREMENTS_MAX,))

    def get(self, kind: type[T], key: str) -> T | None:
        """``None`` also for a damaged one, or one that another version stored: it is measured again."""
        found = self.get_with_boot(kind, key)
        return None if found is None else found[0]

    def get_with_boot(self, kind: type[T], key: str) -> tuple[T, str | None] | None:
        """With the ``boot_id`` that it was stored with."""
        with self._database.reading() as db:
            row = db.execute("SELECT value, boot_id FROM facts WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        try:
            return value_from_json(kind, json.loads(row["value"]), key), row["boot_id"]
        except UNREADABLE as error:
            log.warning("measurement can't be read: key=%s %s", key, error)
            return None
