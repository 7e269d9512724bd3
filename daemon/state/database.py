"""The SQLite file: one connection, and one thread that the event loop hands its calls to.

A damaged file is replaced by the newest whole copy: ``recovered`` says so. If the file can't be opened for
writing (a full or read-only disk), it is read in another folder: desired launches are served, nothing is
stored, and ``read_only_because`` has the reason.
"""

import asyncio
import logging
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from daemon.state.durability import opening, recovery
from daemon.state.durability.recovery import Recovered
from domain.errors import ConfigError, StateError

log = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

MEMORY_FOLDERS = (Path("/dev/shm"), Path("/run"))  # noqa: S108 - they have room when the disk has none


class Database:
    """Only the holder of the instance lock may open it."""

    def __init__(self, path: Path) -> None:
        """Blocks. Raises: ConfigError for a file that this version can't use."""
        self.path = path
        self.read_only_because: str | None = None
        self.recovered: Recovered | None = None
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.RLock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        try:
            self._connection, self.recovered = recovery.open_or_recover(path)
        except sqlite3.DatabaseError as error:
            if not opening.is_of_the_disk(error):
                raise ConfigError(
                    f"{path}: {error}", hint="move the file away to start with an empty state"
                ) from error
            self._connection = self._open_elsewhere(error)
        except OSError as error:
            self._connection = self._open_elsewhere(error)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function`` in the thread of the state: calls are carried out in the order of this call."""
        return await self.hand_over(function, *args, **kwargs)

    def hand_over(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        """As ``run``, for who does not wait for it. Carried out before the file is closed."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._thread, partial(function, *args, **kwargs))

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
            connection, recovered = recovery.open_or_recover(self.path)
        except (sqlite3.DatabaseError, OSError) as error:
            self.read_only_because = str(error)
            return False
        self.recovered = recovered or self.recovered
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

    def _open_elsewhere(self, reason: sqlite3.DatabaseError | OSError) -> sqlite3.Connection:
        """The state as it is on the disk, in a folder that has room. Raises: ConfigError."""
        for parent in (*MEMORY_FOLDERS, Path(tempfile.gettempdir())):
            folder = None
            with suppress(OSError, sqlite3.DatabaseError):
                folder = tempfile.TemporaryDirectory(
                    prefix="node-daemon-state-", dir=parent, ignore_cleanup_errors=True
                )
                copied = recovery.copy_to(self.path, Path(folder.name))
                connection, recovered = recovery.open_or_recover(copied)
                self.recovered = recovered and replace(recovered, set_aside=None)
                self._copy, self.read_only_because = folder, str(reason)
                log.error("state is read only: file=%s %s", self.path, reason)
                return connection
            if folder is not None:
                folder.cleanup()
        raise ConfigError(
            f"{self.path}: {reason}", hint="free some space on its disk, or set state_dir to another one"
        ) from reason

    def _failed(self, error: sqlite3.DatabaseError) -> StateError:
        if opening.is_of_the_disk(error):
            hint = "free some space on its disk: node-ctl doctor shows which one is full"
        else:
            hint = "the file may be damaged: restart the daemon, which then takes the newest whole copy"
        return StateError(f"{self.path}: {error}", hint=hint)
