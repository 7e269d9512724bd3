"""When to ask a server again, and when to give up."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

TRIES = 5  # in a row that bring nothing at all
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 300.0
TOO_MANY, TIMED_OUT, SERVER_ERRORS = 429, 408, 500


class TryAgainError(Exception):
    """It may go well next time; ``after_s`` is the server's wish, ``None`` where it has none."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class Patience:
    """Waits double with each try in a row that brings nothing."""

    def __init__(self) -> None:
        self.failures = 0

    def wait_s(self, error: TryAgainError, *, brought_bytes: bool) -> float | None:
        """How long to wait before the next try; ``None`` to give up."""
        self.failures = 1 if brought_bytes else self.failures + 1
        if self.failures >= TRIES:
            return None
        own_s = FIRST_WAIT_S * 2 ** (self.failures - 1)
        return min(own_s if error.after_s is None else error.after_s, LONGEST_WAIT_S)


def is_busy(status: int) -> bool:
    return status in (TOO_MANY, TIMED_OUT) or status >= SERVER_ERRORS


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks for. A date counts from the server's own, not from this clock.
    Source: RFC 9110, 10.2.3."""
    told = headers.get("retry-after", "").strip()
    if told.isdigit():
        return float(told)
    try:
        until, now = parsedate_to_datetime(told), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None
