"""Copies of the state, for when its file is damaged: by SQLite's backup, checked, then named.

Three are kept in the folder ``copies`` beside it: the latest, and the last one of each of two days before.
Only a difference of days counts, not which day it is: a clock that jumps costs no copy.
"""

import asyncio
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from daemon.state.database import Database
from daemon.state.durability import recovery
from daemon.state.durability.opening import DamagedError
from domain.errors import NodeError, StateError
from domain.units import MIB, gib

log = logging.getLogger(__name__)

EVERY_S = 3600.0
SIZE_MAX_BYTES = 512 * MIB  # of one copy; the state of a box at home has some MiB
ROOM_FACTOR = 4  # a copy is made only if as many times its size is free: it must not be what fills the disk
DAY_S = 86400


class Copies:
    """``problem`` is why the last copy could not be made, ``None`` if it was."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._copied: tuple[str, int] | None = None  # what was desired, and the changes, when it was made
        self._copied_s = 0.0
        self._lock = asyncio.Lock()
        self._writing = threading.Lock()  # a write goes on where its caller was cancelled
        self.problem: str | None = None

    async def refresh(self, *, is_last: bool = False) -> None:
        """Makes a copy if what is desired changed since the last one; after EVERY_S, or if it ``is_last``,
        if anything did. A failure is logged, and tried again by the next call."""
        if self._database.read_only_because is not None or self._lock.locked():
            return
        async with self._lock:
            try:
                await self._refresh(is_last=is_last)
            except (NodeError, DamagedError, sqlite3.Error, OSError) as error:
                if self.problem != str(error):
                    log.warning("state not copied: %s", error)
                self.problem = str(error)

    async def _refresh(self, *, is_last: bool) -> None:
        now = await self._database.run(self._content)
        if now == self._copied:
            return
        desired, _ = now
        if self._copied and desired == self._copied[0] and not (is_last or self._is_due):
            return
        await asyncio.to_thread(self._write)  # a disk that hangs does not hold up the thread of the state
        self._copied, self._copied_s, self.problem = now, self._clock(), None

    def _write(self) -> None:
        with self._writing:
            write(self._database.path)

    @property
    def _is_due(self) -> bool:
        return self._clock() - self._copied_s >= EVERY_S

    def _content(self) -> tuple[str, int]:
        """Moves what is stored from the log beside the file into the file first: a log that is damaged later
        then takes nothing back that the copy has. Blocks. Raises: StateError."""
        with self._database.reading() as db:
            desired = db.execute("SELECT name, request, desired FROM launches ORDER BY rowid").fetchall()
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            return repr([tuple(row) for row in desired]), db.total_changes


def write(path: Path) -> None:
    """The newest copy of ``path``. Blocks. Raises: StateError without room, DamagedError for a state that is
    damaged, sqlite3.Error, OSError; then the copies before are as they were."""
    newest, *_ = names = recovery.copy_paths(path)
    newest.parent.mkdir(mode=0o700, exist_ok=True)
    _check_room(path)
    part = newest.with_name(f".{newest.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(part)) as target,
        ):
            target.execute("PRAGMA synchronous = OFF")  # it is synced once, below
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        recovery.check_copy(part)
        recovery.sync(part)
        _rotate(names)
        part.replace(newest)
        recovery.sync(newest.parent)
    finally:
        for file in (part, *recovery.sidecars(part)):
            file.unlink(missing_ok=True)


def _check_room(path: Path) -> None:
    size_bytes, free_bytes = path.stat().st_size, shutil.disk_usage(path.parent).free
    if size_bytes > SIZE_MAX_BYTES:
        raise StateError(f"{path} has {gib(size_bytes)}: copies are made up to {gib(SIZE_MAX_BYTES)}")
    if free_bytes < ROOM_FACTOR * size_bytes:
        raise StateError(
            f"no room for a copy of the state: {gib(free_bytes)} are free at {path.parent}",
            hint="free some space on its disk",
        )


def _rotate(names: Sequence[Path]) -> None:
    """If the newest copy is of another day, it and those before move on by one; the oldest goes."""
    newest = names[0]
    if not newest.exists() or newest.stat().st_mtime // DAY_S == time.time() // DAY_S:
        return
    for newer, older in reversed(list(pairwise(names))):
        if newer.exists():
            newer.replace(older)
