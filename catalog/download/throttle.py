"""How fast bytes may come, and when: one for all files of a download. Waits by the monotonic clock alone,
so that a clock that is set while a download runs neither stops nor floods it."""

import threading
import time
from collections.abc import Callable

from domain.download import DownloadPolicy

LOOK_EVERY_S = 0.5
BURST_S = 0.25  # what may come at once after a pause


class StoppedError(Exception):
    """The download was cancelled. What is here stays."""


class ClosedError(Exception):
    """The hours in which bytes may come are over."""


def minute_now() -> int:
    """Minutes after midnight, by the local clock: a window is about the owner's hours."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


class Throttle:
    """Threads share one. ``stopped`` ends every wait."""

    def __init__(self, terms: DownloadPolicy, *, minute: Callable[[], int] = minute_now) -> None:
        self.stopped = threading.Event()
        self._terms = terms
        self._minute = minute
        self._lock = threading.Lock()
        self._next_s = time.monotonic()
        self._looked_s = time.monotonic()

    def passed(self, count_bytes: int) -> None:
        """Returns once the next bytes may come. Raises: StoppedError, ClosedError."""
        if self.stopped.is_set():
            raise StoppedError
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            if not self.is_open():
                raise ClosedError
        limit = self._terms.limit_bytes_per_s
        if limit is None:
            return
        with self._lock:
            self._next_s = max(self._next_s, now_s - BURST_S) + count_bytes / limit
            wait_s = self._next_s - now_s
        if wait_s > 0:
            self.wait(wait_s)

    def is_open(self) -> bool:
        return self._terms.window is None or self._terms.window.is_open(self._minute())

    @property
    def closed(self) -> str:
        """Why nothing comes out of hours, in words."""
        return f"it may come at {self._terms.window} only"

    def wait(self, seconds: float) -> None:
        """Raises: StoppedError."""
        if self.stopped.wait(seconds):
            raise StoppedError
