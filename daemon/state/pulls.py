"""The table of pulls: those that are under way come back after a restart of the daemon."""

from daemon.state.database import Database
from daemon.state.records import PullRequest
from daemon.state.rows import dump, load, readable
from daemon.state.unreadable import Unreadable


class PullTable:
    """Its methods block and raise StateError."""

    def __init__(self, database: Database, unreadable: Unreadable) -> None:
        self._database = database
        self._unreadable = unreadable

    def save(self, request: PullRequest) -> None:
        with self._database.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO pulls (model, body) VALUES (?, ?)", (request.model, dump(request))
            )

    def forget(self, request: PullRequest) -> None:
        with self._database.writing() as db:
            db.execute("DELETE FROM pulls WHERE model = ?", (request.model,))

    def all(self) -> tuple[PullRequest, ...]:
        with self._database.reading() as db:
            rows = db.execute("SELECT model, body FROM pulls ORDER BY rowid").fetchall()
        return readable(
            rows,
            lambda row: load(PullRequest, row["body"]),
            lambda row, error: self._unreadable.report(f"the pull of {row['model']}", error),
        )
