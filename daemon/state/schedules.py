"""The table of schedules."""

import sqlite3
from dataclasses import replace
from datetime import datetime

from daemon.state.database import Database
from daemon.state.durability.unreadable import Unreadable
from daemon.state.records import ScheduleRecord
from daemon.state.rows import dump, load, load_optional, readable
from domain.launches.schedule import ScheduleRequest, ScheduleRun


class ScheduleTable:
    """Its methods block and raise StateError."""

    def __init__(self, database: Database, unreadable: Unreadable) -> None:
        self._database = database
        self._unreadable = unreadable

    def add(self, request: ScheduleRequest, handled: datetime) -> ScheduleRecord:
        with self._database.writing() as db:
            values = (dump(request), handled.isoformat())
            done = db.execute("INSERT INTO schedules (request, handled) VALUES (?, ?)", values)
        return ScheduleRecord(int(done.lastrowid or 0), request, handled)

    def update(self, record: ScheduleRecord) -> None:
        """Nothing, where it was removed meanwhile."""
        values = (record.handled.isoformat(), record.last and dump(record.last), record.id)
        with self._database.writing() as db:
            db.execute("UPDATE schedules SET handled = ?, last = ? WHERE id = ?", values)

    def forget(self, number: int) -> None:
        with self._database.writing() as db:
            db.execute("DELETE FROM schedules WHERE id = ?", (number,))

    def all(self) -> tuple[ScheduleRecord, ...]:
        """A run that the end of the daemon broke off has that as its result."""
        with self._database.reading() as db:
            rows = db.execute("SELECT id, request, handled, last FROM schedules ORDER BY id").fetchall()
        return readable(
            rows, _record, lambda row, error: self._unreadable.report(f"schedule {row['id']}", error)
        )


def _record(row: sqlite3.Row) -> ScheduleRecord:
    handled, last = datetime.fromisoformat(row["handled"]), load_optional(ScheduleRun, row["last"])
    if handled.tzinfo is None:
        raise ValueError("its time has no zone")
    if last is not None and last.result is None:
        last = replace(last, result="broken off: the daemon ended", failed=True)
    return ScheduleRecord(row["id"], load(ScheduleRequest, row["request"]), handled, last)
