"""The table of conversations that files hold: which, of which launch, and for what engine."""

import sqlite3

from daemon.state.database import Database
from daemon.state.durability.unreadable import Unreadable
from daemon.state.records import DIGEST_BYTES, ConversationCopy
from daemon.state.rows import readable

COLUMNS = "launch, file, identity, chain, text_bytes, tokens, prompt_tokens, size_bytes, used_at"


class ConversationTable:
    """Its methods block and raise StateError."""

    def __init__(self, database: Database, unreadable: Unreadable) -> None:
        self._database = database
        self._unreadable = unreadable

    def save(self, copy: ConversationCopy) -> None:
        chain = b"".join(copy.chain)
        counts = (copy.text_bytes, copy.tokens, copy.prompt_tokens, copy.size_bytes, copy.used_at)
        values = (copy.launch, copy.file, copy.identity, chain, *counts)
        with self._database.writing() as db:
            db.execute(
                f"INSERT OR REPLACE INTO conversations ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant
                values,
            )

    def remove(self, launch: str, file: str) -> None:
        with self._database.writing() as db:
            db.execute("DELETE FROM conversations WHERE launch = ? AND file = ?", (launch, file))

    def forget(self, launch: str) -> None:
        with self._database.writing() as db:
            db.execute("DELETE FROM conversations WHERE launch = ?", (launch,))

    def all(self) -> tuple[ConversationCopy, ...]:
        """Of all launches, those used last first."""
        with self._database.reading() as db:
            rows = db.execute(f"SELECT {COLUMNS} FROM conversations ORDER BY used_at DESC").fetchall()  # noqa: S608 - constant
        return readable(
            rows,
            _copy,
            lambda row, error: self._unreadable.report(f"a kept conversation of {row['launch']}", error),
        )


def _copy(row: sqlite3.Row) -> ConversationCopy:
    chain = bytes(row["chain"])
    if len(chain) % DIGEST_BYTES:
        raise ValueError(f"its chain has {len(chain)} bytes")
    links = tuple(chain[at : at + DIGEST_BYTES] for at in range(0, len(chain), DIGEST_BYTES))
    return ConversationCopy(**{**dict(row), "chain": links})
