"""The table of runs: every engine process that was started, and how it ended."""

import sqlite3
from collections.abc import Sequence

from daemon.state.database import Database
from daemon.state.durability.unreadable import Unreadable
from daemon.state.records import Run, now
from daemon.state.rows import dump, load, readable
from launchers.command import Command
from launchers.process.procfs import Identity

RUNS_MAX = 1000
DELETE_OLD = """
    DELETE FROM runs WHERE ended_at IS NOT NULL AND id <= ? AND id NOT IN (
        SELECT max(id) FROM runs WHERE launch IN (SELECT name FROM launches) GROUP BY launch)"""


class RunTable:
    """Its methods block and raise StateError."""

    def __init__(self, database: Database, unreadable: Unreadable) -> None:
        self._database = database
        self._unreadable = unreadable

    def begin(self, launch: str, command: Command, *, port: int, engine_version: str | None) -> int:
        """The id of a new run, stored before its process exists: an engine that outlives the daemon has
        one. Of those that have ended, the latest RUNS_MAX are kept, and the last one of each launch."""
        with self._database.writing() as db:
            done = db.execute(
                "INSERT INTO runs (launch, command, port, engine_version, started_at) VALUES (?, ?, ?, ?, ?)",
                (launch, dump(command), port, engine_version, now()),
            )
            identity = int(done.lastrowid or 0)
            db.execute(DELETE_OLD, (identity - RUNS_MAX,))
        return identity

    def identify(self, run_id: int, identity: Identity) -> None:
        with self._database.writing() as db:
            db.execute(
                "UPDATE runs SET pid = ?, start_ticks = ? WHERE id = ?",
                (identity.pid, identity.start_ticks, run_id),
            )

    def end(self, launches: Sequence[str], outcome: str) -> None:
        """Ends all open runs of ``launches``."""
        with self._database.writing() as db:
            for launch in launches:
                db.execute(
                    "UPDATE runs SET ended_at = ?, outcome = ? WHERE launch = ? AND ended_at IS NULL",
                    (now(), outcome, launch),
                )

    def end_one(self, run_id: int, outcome: str) -> None:
        with self._database.writing() as db:
            db.execute("UPDATE runs SET ended_at = ?, outcome = ? WHERE id = ?", (now(), outcome, run_id))

    def unfinished(self) -> tuple[Run, ...]:
        """Runs without a recorded end, the oldest first."""
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM runs WHERE ended_at IS NULL ORDER BY id").fetchall()
        return readable(
            rows,
            _run,
            lambda row, error: self._unreadable.report(f"{row['launch']}, pid {row['pid']}", error),
        )

    def last_port(self, launch: str) -> int | None:
        with self._database.reading() as db:
            row = db.execute(
                "SELECT port FROM runs WHERE launch = ? ORDER BY id DESC LIMIT 1", (launch,)
            ).fetchone()
        return None if row is None else int(row["port"])


def _run(row: sqlite3.Row) -> Run:
    identity = None if row["pid"] is None else Identity(row["pid"], row["start_ticks"])
    return Run(
        id=row["id"],
        launch=row["launch"],
        command=load(Command, row["command"]),
        port=row["port"],
        identity=identity,
        engine_version=row["engine_version"],
        started_at=row["started_at"],
    )
