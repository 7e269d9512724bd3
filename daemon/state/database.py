"""The SQLite file: one connection, one thread that the event loop hands its calls to, numbered migrations.

If the file can't be opened for writing (a full or read-only disk), a copy of it is read instead: desired
launches are served, nothing is stored, and ``read_only_because`` has the reason.
"""

import asyncio
import logging
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from domain.errors import ConfigError, StateError

log = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 10
# Result codes of a disk, not of a damaged file: sqlite.org/rescode.html; the low byte is the primary code
DISK_ERRORS = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)
MEMORY_FOLDERS = (Path("/dev/shm"), Path("/run"))  # noqa: S108 - they have room when the disk has none


class Database:
    """Only the holder of the instance lock may open it."""

    def __init__(self, path: Path) -> None:
        """Blocks. Raises: ConfigError for a file that this version can't use."""
        self.path = path
        self.read_only_because: str | None = None
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.RLock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        try:
            self._connection = _open(path)
        except sqlite3.DatabaseError as error:
            if not _is_of_the_disk(error):
                raise ConfigError(
                    f"{path}: {error}", hint="move the file away to start with an empty state"
                ) from error
            self._connection = self._open_copy(error)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function`` in the thread of the state: calls are carried out in the order of this call."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(function, *args, **kwargs))

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Blocks. Raises: StateError for a damaged file."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.DatabaseError as error:
                raise self._failed(error) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is stored, or nothing. Blocks. Raises: StateError."""
        if self.read_only_because is not None:
            raise StateError(
                f"{self.path} can't be written: {self.read_only_because}",
                hint="free some space on its disk; desired launches are served meanwhile",
            )
        with self._lock:
            try:
                with self._connection:
                    yield self._connection
            except sqlite3.DatabaseError as error:
                raise self._failed(error) from error

    def write_again(self) -> bool:
        """Whether the file can be written, after another try where it could not. Blocks."""
        if self.read_only_because is None:
            return True
        try:
            connection = _open(self.path)
        except sqlite3.DatabaseError as error:
            self.read_only_because = str(error)
            return False
        with self._lock:
            self._connection.close()
            self._connection, self.read_only_because = connection, None
        return True

    def close(self) -> None:
        """Blocks until every call that was handed over is carried out."""
        self._thread.shutdown()
        with self._lock:
            self._connection.close()
        if self._copy is not None:
            self._copy.cleanup()

    def _open_copy(self, reason: sqlite3.DatabaseError) -> sqlite3.Connection:
        """The state as it is on the disk, in a folder that has room. Raises: ConfigError."""
        for parent in (*MEMORY_FOLDERS, Path(tempfile.gettempdir())):
            folder = None
            with suppress(OSError, sqlite3.DatabaseError):
                folder = tempfile.TemporaryDirectory(
                    prefix="node-daemon-state-", dir=parent, ignore_cleanup_errors=True
                )
                for file in self.path.parent.glob(f"{self.path.name}*"):
                    shutil.copy(file, folder.name)
                connection = _open(Path(folder.name, self.path.name))
                self._copy, self.read_only_because = folder, str(reason)
                log.error("state is read only: file=%s %s", self.path, reason)
                return connection
            if folder is not None:
                folder.cleanup()
        raise ConfigError(
            f"{self.path}: {reason}", hint="free some space on its disk, or set state_dir to another one"
        ) from reason

    def _failed(self, error: sqlite3.DatabaseError) -> StateError:
        if _is_of_the_disk(error):
            hint = "free some space on its disk: node-ctl doctor shows which one is full"
        else:
            hint = "the file may be damaged: move it away to start with an empty state"
        return StateError(f"{self.path}: {error}", hint=hint)


def _open(path: Path) -> sqlite3.Connection:
    """Raises: sqlite3.DatabaseError, ConfigError for the schema of a newer version."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
        _migrate(connection, path)
    except BaseException:  # whatever it is, the file must not stay open
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    steps = sorted(MIGRATIONS.glob("*.sql"))
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise ConfigError(
            f"{path} has schema version {version}, this node-daemon supports up to {len(steps)}",
            hint="install the newer node-daemon again, or use another state_dir",
        )
    for number, step in enumerate(steps[version:], start=version + 1):
        try:
            connection.executescript(f"BEGIN;\n{step.read_text()}\nPRAGMA user_version = {number};\nCOMMIT;")
        except sqlite3.DatabaseError:
            if connection.in_transaction:
                connection.rollback()
            raise


def _is_of_the_disk(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF) in DISK_ERRORS
