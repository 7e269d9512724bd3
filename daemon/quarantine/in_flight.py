"""What the daemon does now that it may die of: each launch, pull and job stores it before it begins.

Not in flight is what goes on without the daemon: an engine that serves, a download whose process runs, a
launch that waits for its next try.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from daemon.events.broadcast import Broadcast
from daemon.quarantine.verdict import after_death
from daemon.state.records import Work, WorkKey, WorkKind
from daemon.state.store import Store
from domain.errors import StateError

log = logging.getLogger(__name__)


class InFlight:
    """For the event loop only. What can't be stored is done all the same, and a death tells nothing of it.
    ``suspects`` and ``poison`` are what the previous daemon left."""

    def __init__(self, store: Store, boot_id: str | None) -> None:
        self._store = store
        self._boot_id = boot_id
        self._turns: dict[WorkKey, bool] = {}
        self._stored: set[WorkKey] = set()
        self._changed = Broadcast()
        self._closed = False
        self.suspects: dict[WorkKey, Work] = {}
        self.poison: dict[WorkKey, Work] = {}

    async def judge(self) -> None:
        """At a start, before anything begins. A job is tried again after a reboot: it may have been of the
        machine as it was."""
        try:
            works = after_death(await self._store.run(self._store.in_flight.all), self._boot_id)
            self._take(works)
            await self._store.run(self._store.in_flight.update, works)
        except StateError as error:
            log.warning("deaths not counted: %s", error)

    def _take(self, works: Iterable[Work]) -> None:
        for work in works:
            self._stored.add(work.key)
            if work.poison and work.key.kind is WorkKind.JOB and work.boot_id != self._boot_id:
                self.end(work.key)
            elif work.poison:
                self.poison[work.key] = work
            elif work.is_suspect:
                self.suspects[work.key] = work

    def expect(self, key: WorkKey) -> None:
        """It has its turn, and will begin."""
        self._turns[key] = True

    async def begin(self, key: WorkKey, doing: str, *, keeps_turn: bool = True) -> None:
        """Returns once it is stored. Called again for the next part of the same work: unless that
        ``keeps_turn``, what waits for a turn need not wait for this part."""
        if self._closed:
            return
        self._turns[key] = keeps_turn
        self._stored.add(key)
        self._changed.notify_all()
        try:
            await self._store.run(self._store.in_flight.begin, key, doing, self._boot_id)
        except StateError as error:
            log.warning("not stored as in flight: %s %s: %s", key.kind, key.name, error)

    @asynccontextmanager
    async def running(self, key: WorkKey, doing: str) -> AsyncIterator[None]:
        """In flight while the block runs."""
        await self.begin(key, doing)
        try:
            yield
        finally:
            self.end(key)

    def rest(self, key: WorkKey) -> None:
        """It goes on without the daemon. Its deaths stay counted until it has ended."""
        if self._turns.pop(key, None) is None:
            return
        self._changed.notify_all()
        if not self._closed:
            self._hand_over(self._store.in_flight.rest, key)

    def end(self, key: WorkKey) -> None:
        """It has ended in a way that its owner was told, or serves: its deaths are forgotten."""
        self._turns.pop(key, None)
        self.poison.pop(key, None)
        self._changed.notify_all()
        if key in self._stored and not self._closed:
            self._stored.discard(key)
            self._hand_over(self._store.in_flight.end, key)

    def close(self) -> None:
        """The daemon was told to stop: whatever becomes of it now, nothing in flight is the cause."""
        if not self._closed:
            self._closed = True
            self._hand_over(self._store.in_flight.rest_all)

    async def until_over(self, key: WorkKey) -> None:
        """Until it rests or has ended."""
        while key in self._turns:
            await self._changed.wait()

    async def until_turn_over(self, key: WorkKey) -> None:
        """Until others need not wait for it any more."""
        while self._turns.get(key, False):
            await self._changed.wait()

    def _hand_over(self, write: Callable[..., None], *args: WorkKey) -> None:
        """Stored after what was handed over before, and before the state is closed."""
        self._store.database.hand_over(write, *args).add_done_callback(_log_failure)


def _log_failure(done: "asyncio.Future[None]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.warning("end of what was in flight not stored: %s", error)
