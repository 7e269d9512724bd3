"""Rows that can't be read: reported as events, each once in the life of a daemon."""

import logging

from daemon.state.events import EventTable
from domain.errors import StateError

log = logging.getLogger(__name__)


class Unreadable:
    def __init__(self, events: EventTable) -> None:
        self._events = events
        self._reported: set[str] = set()

    def report(self, row: str, error: Exception) -> None:
        """``row`` names it for its owner. A full disk keeps no other row from being read."""
        if row in self._reported:
            return
        self._reported.add(row)
        try:
            self._events.append("unreadable", f"{row}: its record in the state can't be read ({error})")
        except StateError as problem:
            log.warning("event not stored: %s", problem)
