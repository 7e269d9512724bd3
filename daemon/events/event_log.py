"""The event log: stored, streamed to followers, and written to the daemon's log."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator

from daemon.events.broadcast import Broadcast
from daemon.state.records import Event, now
from daemon.state.store import Store
from domain.errors import StateError
from domain.events import EventKind
from domain.text import printable

UNSTORED_MAX = 100
UNSTORED_CHARS = 2000
PAGE = 100  # events in memory at a time, for each reader: it may read slowly, or never

log = logging.getLogger(__name__)


class EventLog:
    """``unstored`` are the latest events for which the disk had no room, each with its number."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._broadcast = Broadcast()
        self._unstored = 0
        self.unstored: deque[tuple[int, Event]] = deque(maxlen=UNSTORED_MAX)

    async def append(self, kind: EventKind, message: str, *, launch: str | None = None) -> None:
        """An event that can't be stored is only logged: a full disk must not stop what it reports."""
        log.info("event: kind=%s launch=%s %s", kind, launch, message)
        try:
            await self._store.run(self._store.events.append, kind, message, launch)
        except StateError as error:
            log.warning("event not stored: %s", error)
            self._unstored += 1
            event = Event(0, now(), kind, launch, printable(message)[:UNSTORED_CHARS], kind.level)
            self.unstored.append((self._unstored, event))
        self._broadcast.notify_all()

    def close(self) -> None:
        self._broadcast.close()

    async def read(self, since: int, *, follow: bool, last: int | None = None) -> AsyncIterator[Event]:
        """Events after ``since``, of those there are at most the ``last`` ones; with ``follow`` those to
        come, too, until the daemon stops."""
        if last is not None:
            since = max(since, await self._store.run(self._store.events.before_last, last))
        while True:
            change = asyncio.ensure_future(self._broadcast.wait())
            try:
                events = await self._store.run(self._store.events.since, since, PAGE)
                for event in events:
                    yield event
                    since = event.id
                if len(events) == PAGE:
                    continue
                if not follow or self._broadcast.closed:
                    return
                await change
            finally:
                change.cancel()
