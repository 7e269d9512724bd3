"""The table of launches: what was asked for, whether it is desired, and what came of it."""

import json
import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

from daemon.state.database import Database
from daemon.state.durability.unreadable import Unreadable
from daemon.state.records import LaunchRecord, LaunchRequest, now
from daemon.state.rows import UNREADABLE, dump, load, load_optional, readable
from domain.launches.launch import LaunchState
from domain.launches.plan import Plan
from domain.launches.serving import ALWAYS, Serving
from launchers.readiness import Ready

log = logging.getLogger(__name__)


class LaunchTable:
    """Its methods block and raise StateError. Rows that can't be read are reported as events."""

    def __init__(self, database: Database, unreadable: Unreadable) -> None:
        self._database = database
        self._unreadable = unreadable

    def save(self, launch: LaunchRecord) -> None:
        values = _columns(launch) | {"name": launch.request.name, "created_at": now()}
        columns, places = ", ".join(values), ", ".join(f":{key}" for key in values)
        unchanged = ("name", "created_at")
        updates = ", ".join(f"{key} = excluded.{key}" for key in values if key not in unchanged)
        insert = f"INSERT INTO launches ({columns}) VALUES ({places})"  # noqa: S608 - our own column names
        with self._database.writing() as db:
            db.execute(f"{insert} ON CONFLICT (name) DO UPDATE SET {updates}", values)

    def all(self) -> tuple[LaunchRecord, ...]:
        """In the order of their first launch."""
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM launches ORDER BY rowid").fetchall()
        return self._readable(rows)

    def get(self, name: str) -> LaunchRecord | None:
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM launches WHERE name = ?", (name,)).fetchall()
        return next(iter(self._readable(rows)), None)

    def forget(self, name: str) -> None:
        with self._database.writing() as db:
            db.execute("DELETE FROM launches WHERE name = ?", (name,))

    def unreadable(self) -> tuple[str, ...]:
        """The names of those whose rows can't be read."""
        names: list[str] = []
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM launches ORDER BY rowid").fetchall()
        readable(rows, _record, lambda row, _error: names.append(row["name"]))
        return tuple(names)

    def _readable(self, rows: list[sqlite3.Row]) -> tuple[LaunchRecord, ...]:
        return readable(rows, _record, lambda row, error: self._unreadable.report(row["name"], error))


def _columns(launch: LaunchRecord) -> dict[str, object]:
    return {
        "request": dump(launch.request),
        "desired": launch.desired,
        "plan": None if launch.plan is None else dump(launch.plan),
        "fingerprint": launch.fingerprint,
        "ready": None if launch.ready is None else dump(launch.ready),
        "reused": json.dumps(launch.reused),
        "state": launch.state.value,
        "since": launch.since,
        "restarts": launch.restarts,
        "last_error": launch.last_error,
        "serving": dump(launch.serving),
        "parked": launch.parked,
        "replaced": None if launch.replaced is None else json.dumps(_columns(launch.replaced)),
    }


def _replaced(text: str | None) -> LaunchRecord | None:
    """One that can't be read costs itself alone, not the launch that replaces it."""
    try:
        return None if text is None else _record(json.loads(text))
    except UNREADABLE as error:
        log.warning("replaced launch can't be read: %s", error)
        return None


def _serving(row: sqlite3.Row | Mapping[str, Any]) -> Serving:
    """Of a launch that an earlier version replaced, there is none."""
    text = row["serving"] if "serving" in row.keys() else None  # noqa: SIM118 - a Row is no mapping
    return ALWAYS if text is None else load(Serving, text)


def _record(row: sqlite3.Row | Mapping[str, Any]) -> LaunchRecord:
    return LaunchRecord(
        request=load(LaunchRequest, row["request"]),
        desired=bool(row["desired"]),
        state=LaunchState(row["state"]),
        since=row["since"],
        plan=load_optional(Plan, row["plan"]),
        fingerprint=row["fingerprint"],
        ready=load_optional(Ready, row["ready"]),
        reused=tuple(json.loads(row["reused"])),
        restarts=row["restarts"],
        last_error=row["last_error"],
        replaced=_replaced(row["replaced"]),
        serving=_serving(row),
        parked="parked" in row.keys() and bool(row["parked"]),  # noqa: SIM118 - a Row is no mapping
    )
