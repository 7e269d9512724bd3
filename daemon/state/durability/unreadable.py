"""Reports rows that can't be read as events, each once per run of the daemon."""

import logging

from daemon.state.events import EventTable
from domain.errors import StateError
from domain.events import EventKind

log = logging.getLogger(__name__)


class Unreadable:
    def __init__(self, events: EventTable) -> None:
        self._events = events
        self._reported: set[str] = set()

    def report(self, row: str, error: Exception) -> None:
        """``row`` is the name that its owner knows. A full disk does not stop the reading of other rows."""
        if row in self._reported:
            return
        self._reported.add(row)
        try:
            self._events.append(
                EventKind.UNREADABLE, f"{row}: its record in the state can't be read ({error})"
            )
        except StateError as problem:
            log.warning("event not stored: %s", problem)
