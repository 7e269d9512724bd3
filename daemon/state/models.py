"""The table of models on this disk: what is stored of each in addition to its files."""

from daemon.state.database import Database
from domain.models.local_model import ModelNote
from domain.text import printable

MODELS_MAX = 5000
DELETE_OLD = """
    DELETE FROM weights WHERE name IN (
        SELECT name FROM weights WHERE NOT pinned AND name != ? ORDER BY used_at DESC LIMIT -1 OFFSET ?)"""


class ModelTable:
    """Its methods block and raise StateError. Keys are the names that ``node-ctl models`` lists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, ModelNote]:
        with self._database.reading() as db:
            rows = db.execute("SELECT name, pinned, used_at, verified_at, damaged FROM weights").fetchall()
        return {
            row["name"]: ModelNote(
                row["name"], bool(row["pinned"]), row["used_at"], row["verified_at"], row["damaged"]
            )
            for row in rows
        }

    def update(self, name: str, **values: str | bool | None) -> None:
        """Sets columns of the row of ``name``. Of the rows that are not pinned, the MODELS_MAX that were used
        last are kept: those of files that are gone are deleted at last."""
        name = printable(name)
        with self._database.writing() as db:
            db.execute("INSERT OR IGNORE INTO weights (name) VALUES (?)", (name,))
            for column, value in values.items():
                db.execute(f"UPDATE weights SET {column} = ? WHERE name = ?", (value, name))  # noqa: S608 - our own columns
            db.execute(DELETE_OLD, (name, MODELS_MAX))

    def forget(self, name: str) -> None:
        with self._database.writing() as db:
            db.execute("DELETE FROM weights WHERE name = ?", (printable(name),))
