"""The table of what is in flight: stored before it begins, so that a death of the daemon tells of it."""

import sqlite3
from collections.abc import Sequence

from daemon.state.database import Database
from daemon.state.records import Work, WorkKey, WorkKind
from daemon.state.rows import readable

NEXT = "(SELECT coalesce(max(sequence), 0) + 1 FROM in_flight)"


class InFlightTable:
    """Its methods block and raise StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, key: WorkKey, doing: str, boot_id: str | None) -> None:
        """It counts as the one that began last. Earlier deaths stay counted."""
        values = (key.kind.value, key.name, doing, boot_id)
        with self._database.writing() as db:
            db.execute(
                f"INSERT INTO in_flight (kind, name, doing, boot_id, running, sequence)"  # noqa: S608 - our own words
                f" VALUES (?, ?, ?, ?, 1, {NEXT}) ON CONFLICT (kind, name) DO UPDATE SET"
                f" doing = excluded.doing, boot_id = excluded.boot_id, running = 1, sequence = {NEXT}",
                values,
            )

    def rest(self, key: WorkKey) -> None:
        with self._database.writing() as db:
            db.execute("UPDATE in_flight SET running = 0 WHERE kind = ? AND name = ?", _values(key))

    def rest_all(self) -> None:
        with self._database.writing() as db:
            db.execute("UPDATE in_flight SET running = 0")

    def end(self, key: WorkKey) -> None:
        with self._database.writing() as db:
            db.execute("DELETE FROM in_flight WHERE kind = ? AND name = ?", _values(key))

    def all(self) -> tuple[Work, ...]:
        """In the order in which they began."""
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM in_flight ORDER BY sequence").fetchall()
        return readable(rows, _work, _ignore)

    def update(self, works: Sequence[Work]) -> None:
        """Stores what became of ``works``: of all of them, or of none."""
        with self._database.writing() as db:
            for work in works:
                db.execute(
                    "UPDATE in_flight SET running = ?, deaths = ?, reboots = ?, poison = ?"
                    " WHERE kind = ? AND name = ?",
                    (work.running, work.deaths, work.reboots, work.poison, *_values(work.key)),
                )


def _values(key: WorkKey) -> tuple[str, str]:
    return key.kind.value, key.name


def _ignore(row: sqlite3.Row, error: Exception) -> None:
    """Of another version: its deaths are not counted."""


def _work(row: sqlite3.Row) -> Work:
    return Work(
        WorkKey(WorkKind(row["kind"]), row["name"]),
        row["doing"],
        row["boot_id"],
        bool(row["running"]),
        row["deaths"],
        row["reboots"],
        bool(row["poison"]),
    )
