"""When to retry a request, and when to give up.

No retry library: what decides here is whether a try brought bytes and what the server's Retry-After says, and
the caller reports the wait, and may end it, while it lasts.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

TRIES = 5  # in a row without a single byte
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 300.0
TOO_MANY, TIMED_OUT, SERVER_ERRORS = 429, 408, 500
_SECONDS = re.compile(r"[0-9]{1,9}")


class TryAgainError(Exception):
    """A failure that may be temporary. ``after_s`` is the server's Retry-After, if it sent one."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class Backoff:
    """Exponential back-off, which starts again after a try that brought bytes."""

    def __init__(self) -> None:
        self.failures = 0

    def wait_s(self, error: TryAgainError, *, brought_bytes: bool) -> float | None:
        """How long to wait before the next try; ``None``: give up."""
        self.failures = 1 if brought_bytes else self.failures + 1
        if self.failures >= TRIES:
            return None
        backoff_s = FIRST_WAIT_S * 2 ** (self.failures - 1)
        return min(backoff_s if error.after_s is None else error.after_s, LONGEST_WAIT_S)


def is_busy(status: int) -> bool:
    return status in (TOO_MANY, TIMED_OUT) or status >= SERVER_ERRORS


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Of the Retry-After header. A date is compared with the server's Date, not with this machine's clock.
    Source: RFC 9110, 10.2.3."""
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None
