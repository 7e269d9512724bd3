"""The tables of keys for the gateway, and of what its owner switched: who may ask over the network."""

import json
import sqlite3

from daemon.state.database import Database
from daemon.state.durability.unreadable import Unreadable
from daemon.state.records import KeyRecord
from daemon.state.rows import readable
from domain.priority import Priority
from domain.request_rate import parse_request_rate

COLUMNS = "name, id, hash, created, last_used, models, priority, rate"


class KeyTable:
    """Its methods block and raise StateError."""

    def __init__(self, database: Database, unreadable: Unreadable) -> None:
        self._database = database
        self._unreadable = unreadable

    def save(self, key: KeyRecord) -> None:
        limits = (json.dumps(key.models), key.priority.value, None if key.rate is None else str(key.rate))
        values = (key.name, key.id, key.hash, key.created, key.last_used, *limits)
        with self._database.writing() as db:
            db.execute(f"INSERT OR REPLACE INTO keys ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608 - constant

    def forget(self, name: str) -> None:
        with self._database.writing() as db:
            db.execute("DELETE FROM keys WHERE name = ?", (name,))

    def all(self) -> tuple[KeyRecord, ...]:
        with self._database.reading() as db:
            rows = db.execute(f"SELECT {COLUMNS} FROM keys ORDER BY rowid").fetchall()  # noqa: S608 - constant
        return readable(
            rows, _record, lambda row, error: self._unreadable.report(f"key {row['name']}", error)
        )

    def switch(self, name: str, *, on: bool) -> None:
        with self._database.writing() as db:
            db.execute("INSERT OR REPLACE INTO switches (name, is_on) VALUES (?, ?)", (name, int(on)))

    def is_on(self, name: str) -> bool:
        with self._database.reading() as db:
            row = db.execute("SELECT is_on FROM switches WHERE name = ?", (name,)).fetchone()
        return row is not None and row["is_on"] == 1


def _record(row: sqlite3.Row) -> KeyRecord:
    """Raises: ValueError for a row that was damaged: a key that can't be trusted lets nobody in."""
    if not (row["name"].isascii() and row["hash"].isascii() and row["hash"].startswith("scrypt$")):
        raise ValueError("it has bytes that were not written")
    models = json.loads(row["models"])
    if not isinstance(models, list) or not all(isinstance(model, str) for model in models):
        raise ValueError("its models are no list of names")
    return KeyRecord(
        row["name"],
        row["id"],
        row["hash"],
        row["created"],
        row["last_used"],
        models=tuple(models),
        priority=Priority(row["priority"]),
        rate=None if row["rate"] is None else parse_request_rate(row["rate"]),
    )
