"""State on disk: SQLite, one short connection a call. Rows and SQL stay here; domain values go in and out.

Every function blocks: call it through ``asyncio.to_thread``.
"""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from daemon.state.records import Event, LaunchRecord, LaunchRequest, Measurement, PullRequest, Run, now
from domain.errors import ConfigError, StateError
from domain.launch import LaunchState
from domain.local_model import ModelNote
from domain.plan import Plan
from domain.serialization import from_json, to_json
from launchers.command import Command
from launchers.process.procfs import Identity
from launchers.readiness import Ready

log = logging.getLogger(__name__)

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent / "migrations"
EVENTS_KEPT = 10_000
UNREADABLE = (ValueError, TypeError, KeyError)  # what a damaged or foreign value raises when it is read


class Store:
    """The state of one daemon. Only the holder of the state lock may open it."""

    def __init__(self, path: Path) -> None:
        """Opens or creates, and migrates. Raises: ConfigError for a file this version can't use."""
        self.path = path
        try:
            self._migrate()
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{path}: {error}", hint="move the file away to begin anew") from error

    @contextmanager
    def _db(self) -> Iterator[sqlite3.Connection]:
        """Raises: StateError, for a full disk most often, or a damaged file."""
        try:
            with closing(sqlite3.connect(self.path, timeout=10)) as db, db:  # closing closes; db commits
                db.row_factory = sqlite3.Row
                db.execute(
                    "PRAGMA synchronous = NORMAL"
                )  # with WAL: a power cut loses the last commit, no more
                yield db
        except sqlite3.DatabaseError as error:
            raise StateError(
                f"{self.path}: {error}",
                hint="node-ctl doctor tells if the disk is full; a damaged file can be moved away",
            ) from error

    def _migrate(self) -> None:
        steps = sorted(MIGRATIONS.glob("*.sql"))
        with closing(sqlite3.connect(self.path, timeout=10)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > len(steps):
                raise ConfigError(
                    f"{self.path} is of schema {version}, this node-daemon knows {len(steps)}",
                    hint="install the newer node-daemon again, or use another state_dir",
                )
            for number, step in enumerate(steps[version:], start=version + 1):
                db.executescript(f"BEGIN;\n{step.read_text()}\nPRAGMA user_version = {number};\nCOMMIT;")

    # launches

    def save_launch(self, launch: LaunchRecord) -> None:
        values = {
            "name": launch.request.name,
            "request": _dump(launch.request),
            "desired": launch.desired,
            "plan": None if launch.plan is None else _dump(launch.plan),
            "fingerprint": launch.fingerprint,
            "ready": None if launch.ready is None else _dump(launch.ready),
            "reused": json.dumps(launch.reused),
            "state": launch.state.value,
            "since": launch.since,
            "restarts": launch.restarts,
            "last_error": launch.last_error,
            "created_at": now(),
        }
        columns, places = ", ".join(values), ", ".join(f":{key}" for key in values)
        kept = ("name", "created_at")
        updates = ", ".join(f"{key} = excluded.{key}" for key in values if key not in kept)
        insert = f"INSERT INTO launches ({columns}) VALUES ({places})"  # noqa: S608 - our own column names
        with self._db() as db:
            db.execute(f"{insert} ON CONFLICT (name) DO UPDATE SET {updates}", values)

    def launches(self) -> tuple[LaunchRecord, ...]:
        """All that can be read, first launched first. What can't is told as an event."""
        with self._db() as db:
            rows = db.execute("SELECT * FROM launches ORDER BY created_at, name").fetchall()
        return self._readable(rows, _remembered, lambda row: row["name"])

    def launch(self, name: str) -> LaunchRecord | None:
        with self._db() as db:
            row = db.execute("SELECT * FROM launches WHERE name = ?", (name,)).fetchone()
        return None if row is None else next(iter(self._readable([row], _remembered, None)), None)

    def forget_launch(self, name: str) -> None:
        with self._db() as db:
            db.execute("DELETE FROM launches WHERE name = ?", (name,))

    # runs

    def open_run(self, launch: str, command: Command, *, port: int, engine_version: str | None) -> int:
        """Written before the process exists, so that one that outlives us is never unknown."""
        with self._db() as db:
            done = db.execute(
                "INSERT INTO runs (launch, command, port, engine_version, started_at) VALUES (?, ?, ?, ?, ?)",
                (launch, _dump(command), port, engine_version, now()),
            )
        return int(done.lastrowid or 0)

    def identify_run(self, run_id: int, identity: Identity) -> None:
        with self._db() as db:
            db.execute(
                "UPDATE runs SET pid = ?, start_ticks = ? WHERE id = ?",
                (identity.pid, identity.start_ticks, run_id),
            )

    def close_run(self, run_id: int, outcome: str) -> None:
        with self._db() as db:
            db.execute("UPDATE runs SET ended_at = ?, outcome = ? WHERE id = ?", (now(), outcome, run_id))

    def open_runs(self) -> tuple[Run, ...]:
        """Runs whose end nobody saw, the oldest first. What can't be read is told as an event."""
        with self._db() as db:
            rows = db.execute("SELECT * FROM runs WHERE ended_at IS NULL ORDER BY id").fetchall()
        return self._readable(rows, _run, lambda row: f"{row['launch']}, pid {row['pid']}")

    def _readable(
        self,
        rows: list[sqlite3.Row],
        read: Callable[[sqlite3.Row], T],
        called: Callable[[sqlite3.Row], str] | None,
    ) -> tuple[T, ...]:
        """Without the rows that another version wrote, or that are damaged: one of them must not keep
        all others from being served. With ``called`` they are told."""
        found = []
        for row in rows:
            try:
                found.append(read(row))
            except UNREADABLE as error:
                log.warning("row can't be read: id=%s %s", row[0], error)
                if called is not None:
                    self.add_event("unreadable", f"not known any more: {called(row)} ({error})", None)
        return tuple(found)

    def last_port(self, launch: str) -> int | None:
        with self._db() as db:
            row = db.execute(
                "SELECT port FROM runs WHERE launch = ? ORDER BY id DESC LIMIT 1", (launch,)
            ).fetchone()
        return None if row is None else int(row["port"])

    # facts

    def put_fact(self, key: str, value: Any, *, boot_id: str | None = None) -> None:
        with self._db() as db:
            db.execute(
                "INSERT OR REPLACE INTO facts (key, value, boot_id, measured_at) VALUES (?, ?, ?, ?)",
                (key, json.dumps(to_json(value)), boot_id, now()),
            )

    def fact(self, key: str) -> Measurement | None:
        with self._db() as db:
            row = db.execute("SELECT * FROM facts WHERE key = ?", (key,)).fetchone()
        return (
            None
            if row is None
            else Measurement(key, json.loads(row["value"]), row["boot_id"], row["measured_at"])
        )

    # weights

    def notes(self) -> dict[str, ModelNote]:
        """What is remembered of weights, by their name."""
        with self._db() as db:
            rows = db.execute("SELECT name, pinned, used_at, verified_at, damaged FROM weights").fetchall()
        return {
            row["name"]: ModelNote(
                row["name"], bool(row["pinned"]), *(row[key] for key in tuple(row.keys())[2:])
            )
            for row in rows
        }

    def note(self, name: str, **values: str | bool | None) -> None:
        """Sets columns of the row of ``name``."""
        with self._db() as db:
            db.execute("INSERT OR IGNORE INTO weights (name) VALUES (?)", (name,))
            for column, value in values.items():
                db.execute(f"UPDATE weights SET {column} = ? WHERE name = ?", (value, name))  # noqa: S608 - our own columns

    def forget_note(self, name: str) -> None:
        with self._db() as db:
            db.execute("DELETE FROM weights WHERE name = ?", (name,))

    def keep_pull(self, request: PullRequest) -> None:
        with self._db() as db:
            db.execute(
                "INSERT OR REPLACE INTO pulls (model, body) VALUES (?, ?)", (request.model, _dump(request))
            )

    def drop_pull(self, request: PullRequest) -> None:
        with self._db() as db:
            db.execute("DELETE FROM pulls WHERE model = ?", (request.model,))

    def pulls(self) -> tuple[PullRequest, ...]:
        with self._db() as db:
            rows = db.execute("SELECT model, body FROM pulls ORDER BY rowid").fetchall()
        return self._readable(
            rows, lambda row: from_json(PullRequest, json.loads(row["body"])), lambda row: row["model"]
        )

    # events

    def add_event(self, kind: str, message: str, launch: str | None) -> Event:
        at = now()
        with self._db() as db:
            done = db.execute(
                "INSERT INTO events (at, kind, launch, message) VALUES (?, ?, ?, ?)",
                (at, kind, launch, message),
            )
            identity = int(done.lastrowid or 0)
            db.execute("DELETE FROM events WHERE id <= ?", (identity - EVENTS_KEPT,))
        return Event(identity, at, kind, launch, message)

    def events(self, since: int = 0) -> tuple[Event, ...]:
        """Those with an id above ``since``, oldest first."""
        with self._db() as db:
            rows = db.execute("SELECT * FROM events WHERE id > ? ORDER BY id", (since,)).fetchall()
        return tuple(Event(*(row[key] for key in ("id", "at", "kind", "launch", "message"))) for row in rows)


def _dump(value: object) -> str:
    return json.dumps(to_json(value))


def _remembered(row: sqlite3.Row) -> LaunchRecord:
    return LaunchRecord(
        request=from_json(LaunchRequest, json.loads(row["request"])),
        desired=bool(row["desired"]),
        state=LaunchState(row["state"]),
        since=row["since"],
        plan=_optional(Plan, row["plan"]),
        fingerprint=row["fingerprint"],
        ready=_optional(Ready, row["ready"]),
        reused=tuple(json.loads(row["reused"])),
        restarts=row["restarts"],
        last_error=row["last_error"],
    )


def _optional(kind: type[T], text: str | None) -> T | None:
    """One of another version's shape counts as none: a plan is made again, an answer comes again."""
    if text is None:
        return None
    try:
        return from_json(kind, json.loads(text))
    except UNREADABLE as error:
        log.warning("stored value can't be read: kind=%s %s", kind.__name__, error)
        return None


def _run(row: sqlite3.Row) -> Run:
    identity = None if row["pid"] is None else Identity(row["pid"], row["start_ticks"])
    return Run(
        id=row["id"],
        launch=row["launch"],
        command=from_json(Command, json.loads(row["command"])),
        port=row["port"],
        identity=identity,
        engine_version=row["engine_version"],
        started_at=row["started_at"],
    )
