"""The tables of what the daemon does and tells without anybody asking: schedules, notifications."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from daemon.state.database import Database
from daemon.state.durability.unreadable import Unreadable
from daemon.state.records import NotificationRecord, ScheduleRecord
from daemon.state.rows import dump, load, load_optional, readable
from domain.launches.schedule import ScheduleRequest, ScheduleRun
from domain.serialization import value_from_json


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
            rows, _schedule, lambda row, error: self._unreadable.report(f"schedule {row['id']}", error)
        )


def _schedule(row: sqlite3.Row) -> ScheduleRecord:
    handled, last = datetime.fromisoformat(row["handled"]), load_optional(ScheduleRun, row["last"])
    if handled.tzinfo is None:
        raise ValueError("its time has no zone")
    if last is not None and last.result is None:
        last = replace(last, result="broken off: the daemon ended", failed=True)
    return ScheduleRecord(row["id"], load(ScheduleRequest, row["request"]), handled, last)


class NotificationTable:
    """Its methods block and raise StateError."""

    def __init__(self, database: Database, unreadable: Unreadable) -> None:
        self._database = database
        self._unreadable = unreadable

    def all(self) -> tuple[NotificationRecord, ...]:
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM notifications").fetchall()
        return readable(
            rows,
            _target,
            lambda row, error: self._unreadable.report(f"notifications to {row['target']}", error),
        )

    def save(self, record: NotificationRecord) -> None:
        told = json.dumps(record.told)
        values = (record.target, record.cursor, record.digested.isoformat(), told, record.last_sent)
        with self._database.writing() as db:
            db.execute("INSERT OR REPLACE INTO notifications VALUES (?, ?, ?, ?, ?)", values)

    def keep_only(self, targets: Iterable[str]) -> None:
        """One that comes back later begins anew."""
        names = json.dumps(list(targets))
        with self._database.writing() as db:
            db.execute(
                "DELETE FROM notifications WHERE target NOT IN (SELECT value FROM json_each(?))", (names,)
            )


def _target(row: sqlite3.Row) -> NotificationRecord:
    digested = datetime.fromisoformat(row["digested"])
    if digested.tzinfo is None:
        raise ValueError("its time has no zone")
    told = value_from_json(tuple[tuple[str, str | None, int], ...], json.loads(row["told"]), "told")
    return NotificationRecord(row["target"], row["cursor"], digested, told, row["last_sent"])
