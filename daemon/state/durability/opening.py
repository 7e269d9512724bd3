"""Opens a SQLite file of the state: checked for damage, then migrated.

A file counts as damaged if SQLite says so, if its tables are not those of its schema version, or if it is
empty. SQLite has no checksums: a bit that is wrong inside a value is found when the row is read, if at all.
"""

import os
import sqlite3
from pathlib import Path

from domain.errors import ConfigError

MIGRATIONS = Path(__file__).parents[1] / "migrations"
BUSY_TIMEOUT_S = 10
# Result codes of a disk, and of a damaged file: sqlite.org/rescode.html; the low byte is the primary code
DISK_ERRORS = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)
DAMAGE = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_ERROR,  # of queries that are right: the schema is not what it was
    }
)

WRITE_VERSION, WRITE_VERSION_MAX = 18, 2  # the byte of the head, and WAL: sqlite.org/fileformat2.html, 1.3.3

Columns = dict[str, list[tuple[object, ...]]]


class DamagedError(Exception):
    """The file can't be trusted; the text says why."""


class NewerSchemaError(ConfigError):
    """The file was written by a newer version, or the number that says so is damaged."""


def open_file(path: Path, *, is_new: bool = False) -> sqlite3.Connection:
    """``is_new``: an empty file, or none, is no damage. Blocks. Raises: DamagedError, NewerSchemaError,
    ConfigError for a migration that fails, sqlite3.DatabaseError of the disk or a lock."""
    if path.exists() and not path.is_file():
        raise DamagedError("it is a folder" if path.is_dir() else "it is not a regular file")
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.text_factory = _text
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
            check(connection, path, is_new=is_new)
            _check_that_it_can_change(path)
        except UnicodeDecodeError as error:  # of a name in a message of SQLite
            raise DamagedError("its schema can't be read") from error
        except sqlite3.DatabaseError as error:
            if is_damage(error, path):
                raise DamagedError(str(error)) from error
            raise
        _migrate(connection, path)
    except BaseException:  # whatever it is, the file must not stay open
        connection.close()
        raise
    return connection


def check(connection: sqlite3.Connection, path: Path, *, is_new: bool = False) -> int:
    """The schema version of a whole file. Raises: DamagedError, NewerSchemaError, sqlite3.DatabaseError."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    supported = len(_steps())
    if version > supported:
        raise NewerSchemaError(
            f"{path} has schema version {version}, this node-daemon supports up to {supported}",
            hint="install the newer node-daemon again, or use another state_dir",
        )
    (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if result != "ok":
        raise DamagedError(str(result).replace("\n", " "))
    actual = _columns(connection)
    if version <= 0 and not is_new:
        raise DamagedError("the file is empty" if not actual else "its schema version is damaged")
    expected = _columns_of(version)
    wrong = sorted(table for table in expected.keys() | actual.keys() if not _agree(expected, actual, table))
    if wrong:
        raise DamagedError(f"the table {wrong[0]} is not that of schema version {version}")
    return int(version)


def _check_that_it_can_change(path: Path) -> None:
    """SQLite opens for reading alone what says that a newer one wrote it. Raises: DamagedError, OSError."""
    with path.open("rb") as file:
        head = file.read(WRITE_VERSION + 1)
    if len(head) > WRITE_VERSION and head[WRITE_VERSION] > WRITE_VERSION_MAX:
        raise DamagedError(f"its write version is {head[WRITE_VERSION]}")


def is_of_the_disk(error: sqlite3.Error) -> bool:
    return _code(error) in DISK_ERRORS


def is_damage(error: sqlite3.Error, path: Path) -> bool:
    """A file that says of itself that it is read-only is damaged, if it isn't."""
    code = _code(error)
    if code == sqlite3.SQLITE_READONLY:
        return all(os.access(place, os.W_OK) for place in (path, path.parent))
    return code in DAMAGE or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHORT_READ


def _code(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _text(value: bytes) -> str:
    """A damaged byte costs its row, not the query: text that we store as JSON is ASCII."""
    return value.decode(errors="replace")


def _agree(expected: Columns, actual: Columns, table: str) -> bool:
    """A table that only the file has is none of ours, unless a migration is still to make it."""
    if table in expected:
        return expected[table] == actual.get(table)
    return table not in _columns_of(len(_steps()))


def _columns_of(version: int) -> Columns:
    connection = sqlite3.connect(":memory:")
    try:
        for step in _steps()[:version]:
            connection.executescript(step.read_text())
        return _columns(connection)
    finally:
        connection.close()


def _columns(connection: sqlite3.Connection) -> Columns:
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    query = 'SELECT name, type, "notnull", pk FROM pragma_table_info(?)'
    return {
        table: [tuple(column) for column in connection.execute(query, (table,))]
        for (table,) in tables
        if not table.startswith("sqlite_")
    }


def _steps() -> list[Path]:
    return sorted(MIGRATIONS.glob("*.sql"))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Raises: ConfigError, and the file is as it was; sqlite3.DatabaseError of the disk."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(_steps()[version:], start=version + 1):
        try:
            connection.executescript(f"BEGIN;\n{step.read_text()}\nPRAGMA user_version = {number};\nCOMMIT;")
        except sqlite3.DatabaseError as error:
            if connection.in_transaction:
                connection.rollback()
            if is_of_the_disk(error):
                raise
            hint = "install the node-daemon that wrote it again, or use another state_dir"
            raise ConfigError(f"{path}: {step.name}: {error}", hint=hint) from error
