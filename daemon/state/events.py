"""The table of events: the latest EVENTS_MAX; older ones are deleted, longer messages are cut."""

import sqlite3

from daemon.state.database import Database
from daemon.state.records import Event, now
from domain.events import level_of
from domain.text import printable

EVENTS_MAX = 10_000
MESSAGE_MAX = 16_384  # characters: three names of files, as long as they may be


class EventTable:
    """Its methods block and raise StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, kind: str, message: str, launch: str | None = None) -> Event:
        at, message = now(), printable(message)
        if len(message) > MESSAGE_MAX:
            message = f"{message[:MESSAGE_MAX]}..."
        with self._database.writing() as db:
            done = db.execute(
                "INSERT INTO events (at, kind, launch, message) VALUES (?, ?, ?, ?)",
                (at, kind, launch, message),
            )
            identity = int(done.lastrowid or 0)
            db.execute("DELETE FROM events WHERE id <= ?", (identity - EVENTS_MAX,))
        return Event(identity, at, kind, launch, message, level_of(kind))

    def before_last(self, count: int) -> int:
        """The id that all but the last ``count`` events have at most."""
        with self._database.reading() as db:
            found = db.execute("SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?", (count,)).fetchone()
        return 0 if found is None else int(found["id"])

    def since(self, identity: int = 0, most: int = EVENTS_MAX) -> tuple[Event, ...]:
        """Those with an id above ``identity``, oldest first: the first ``most`` of them."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?", (identity, most)
            ).fetchall()
        return tuple(_event(row) for row in rows)


def _event(row: sqlite3.Row) -> Event:
    kind = row["kind"]
    return Event(row["id"], row["at"], kind, row["launch"], row["message"], level_of(kind))
