"""Telemetry for the event loop: a buffer, and a thread of its own that has the file.

A disk that hangs holds up that thread alone. What can't be written is dropped, and leaves a gap.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from daemon.state.durability import opening
from daemon.state.durability.opening import DamagedError
from daemon.state.telemetry.buckets import Buffer
from daemon.state.telemetry.database import TelemetryDatabase, set_aside
from domain.errors import StateError

log = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_S = 20.0  # reading all takes a tenth of a second
CLOSE_S = 5.0


class Telemetry:
    """``paused`` is why nothing is stored now, ``set_aside`` the words for a damaged file that a new one
    replaced, until they are told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.buffer = Buffer()
        self.paused: str | None = None
        self.set_aside: str | None = None
        self._database: TelemetryDatabase | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="telemetry")

    async def write(self, now_s: float, *, thin: bool) -> None:
        """Stores what was buffered, or drops it. Raises: StateError."""
        buckets, names = self.buffer.take()

        def write(database: TelemetryDatabase) -> None:
            database.add(buckets, names)
            if thin:
                database.thin(now_s)

        await self.run(write)

    async def run(self, function: Callable[[TelemetryDatabase], T]) -> T:
        """``function`` in the thread, with the file open; where that is damaged, with a new one.
        Raises: StateError."""
        try:
            asked = asyncio.get_running_loop().run_in_executor(self._thread, self._run, function)
            async with asyncio.timeout(ANSWER_S):
                return await asked
        except TimeoutError as error:
            raise StateError(f"{self.path}: its disk has not answered for {ANSWER_S:g} s") from error

    async def close(self) -> None:
        """Waits for the thread only so long."""
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        await asyncio.wait({closing}, timeout=CLOSE_S)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self, function: Callable[[TelemetryDatabase], T]) -> T:
        """Blocks."""
        try:
            try:
                return function(self._open())
            except DamagedError as error:
                self._replace(error)
            except sqlite3.DatabaseError as error:
                if not opening.is_damage(error, self.path):
                    raise
                self._replace(error)
            return function(self._open())
        except (sqlite3.Error, DamagedError, OSError) as error:
            self._close()  # it may be another disk, or another file, the next time
            hint = "node-ctl doctor shows disks that are full"
            raise StateError(f"{self.path}: {error}", hint=hint) from error

    def _open(self) -> TelemetryDatabase:
        if self._database is None:
            self._database = TelemetryDatabase(self.path)
        return self._database

    def _replace(self, error: Exception) -> None:
        self._close()
        aside = set_aside(self.path)
        self.set_aside = f"the telemetry was damaged ({error}), and begins anew; the file is kept as {aside}"
        log.error("%s", self.set_aside)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
