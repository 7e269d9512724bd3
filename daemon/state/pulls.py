"""The table of pulls under way, which a restarted daemon resumes."""

from daemon.state.database import Database
from daemon.state.durability.unreadable import Unreadable
from daemon.state.records import PullRecord, PullRequest
from daemon.state.rows import dump, load, load_optional, readable
from domain.models.model import Weights


class PullTable:
    """Its methods block and raise StateError."""

    def __init__(self, database: Database, unreadable: Unreadable) -> None:
        self._database = database
        self._unreadable = unreadable

    def save(self, pull: PullRecord) -> None:
        values = (pull.id, dump(pull.request), None if pull.weights is None else dump(pull.weights))
        with self._database.writing() as db:
            db.execute("INSERT OR REPLACE INTO pulls (id, request, weights) VALUES (?, ?, ?)", values)

    def forget(self, number: int) -> None:
        with self._database.writing() as db:
            db.execute("DELETE FROM pulls WHERE id = ?", (number,))

    def all(self) -> tuple[PullRecord, ...]:
        with self._database.reading() as db:
            rows = db.execute("SELECT id, request, weights FROM pulls ORDER BY id").fetchall()
        return readable(
            rows,
            lambda row: PullRecord(
                row["id"], load(PullRequest, row["request"]), load_optional(Weights, row["weights"])
            ),
            lambda row, error: self._unreadable.report(f"pull {row['id']}", error),
        )
