"""The table of events: the latest EVENTS_MAX, older ones are deleted."""

from daemon.state.database import Database
from daemon.state.records import Event, now
from domain.text import printable

EVENTS_MAX = 10_000


class EventTable:
    """Its methods block and raise StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, kind: str, message: str, launch: str | None = None) -> Event:
        at, message = now(), printable(message)
        with self._database.writing() as db:
            done = db.execute(
                "INSERT INTO events (at, kind, launch, message) VALUES (?, ?, ?, ?)",
                (at, kind, launch, message),
            )
            identity = int(done.lastrowid or 0)
            db.execute("DELETE FROM events WHERE id <= ?", (identity - EVENTS_MAX,))
        return Event(identity, at, kind, launch, message)

    def since(self, identity: int = 0) -> tuple[Event, ...]:
        """Those with an id above ``identity``, oldest first."""
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM events WHERE id > ? ORDER BY id", (identity,)).fetchall()
        return tuple(Event(*(row[key] for key in ("id", "at", "kind", "launch", "message"))) for row in rows)
