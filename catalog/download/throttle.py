"""Limits the rate of a download and the hours it may run in, for all its files together.

Waits use the monotonic clock alone: setting the wall clock neither stops a download nor lifts its limit.
"""

import threading
import time
from collections.abc import Callable

from domain.download import DownloadPolicy

CHECK_EVERY_S = 0.5
BURST_S = 0.25  # of the limit may be passed at once after a pause


class StoppedError(Exception):
    """The download was cancelled. What it fetched is kept."""


class WindowClosedError(Exception):
    """The hours of the download's window are over. What it fetched is kept."""


def minute_now() -> int:
    """Minutes after midnight, by the local clock: a window is about the owner's hours."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


class Throttle:
    """Shared by the threads of one download. Setting ``stopped`` ends every wait."""

    def __init__(self, policy: DownloadPolicy, *, minute: Callable[[], int] = minute_now) -> None:
        self.stopped = threading.Event()
        self._policy = policy
        self._minute = minute
        self._lock = threading.Lock()
        self._next_s = time.monotonic()
        self._checked_s = time.monotonic()

    def consume(self, count_bytes: int) -> None:
        """Returns once ``count_bytes`` more may be fetched. Raises: StoppedError, WindowClosedError."""
        if self.stopped.is_set():
            raise StoppedError
        now_s = time.monotonic()
        if now_s - self._checked_s >= CHECK_EVERY_S:
            self._checked_s = now_s
            self.check_window()
        limit = self._policy.limit_bytes_per_s
        if limit is None:
            return
        with self._lock:
            self._next_s = max(self._next_s, now_s - BURST_S) + count_bytes / limit
            wait_s = self._next_s - now_s
        if wait_s > 0:
            self.wait(wait_s)

    def check_window(self) -> None:
        """Raises: WindowClosedError."""
        if not self._policy.is_open(self._minute()):
            raise WindowClosedError

    def wait(self, seconds: float) -> None:
        """Raises: StoppedError."""
        if self.stopped.wait(seconds):
            raise StoppedError
