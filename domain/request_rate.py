"""How many requests or tokens a client may have in a time: ``60/min``, ``100000 tokens/hour``."""

import re
from dataclasses import dataclass, field

PERIODS_S = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "day": 86_400}
MOST = 10**12
_FORM = re.compile(r"(\d{1,13}) ?(requests?|tokens?)? ?/ ?([a-z]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestRate:
    count: int
    period_s: int
    of_tokens: bool = False

    def __str__(self) -> str:
        period = next(name for name, seconds in PERIODS_S.items() if seconds == self.period_s)
        period = {"h": "hour"}.get(period, period)
        return f"{self.count}{' tokens' if self.of_tokens else ''}/{period}"


def parse_request_rate(text: str) -> RequestRate:
    """Raises: ValueError."""
    match = _FORM.fullmatch(text.strip().lower())
    if match is None or match[3] not in PERIODS_S or not 1 <= int(match[1]) <= MOST:
        raise ValueError(f"{text[:80]!r} is no rate such as 60/min or 100000 tokens/hour")
    return RequestRate(int(match[1]), PERIODS_S[match[3]], of_tokens=(match[2] or "").startswith("token"))


@dataclass(slots=True)
class Allowance:
    """A bucket that holds what ``rate`` gives in one period, and fills evenly. Tokens are known only after an
    answer: it may be in debt then, and lets nothing through until that is paid."""

    rate: RequestRate
    level: float = field(init=False)
    at_s: float | None = None

    def __post_init__(self) -> None:
        self.level = float(self.rate.count)

    def wait_s(self, now_s: float) -> float:
        """Until a request is let through: 0.0 for at once."""
        self._fill(now_s)
        missing = 1.0 - self.level
        return max(0.0, missing * self.rate.period_s / self.rate.count)

    def take(self, count: int, now_s: float) -> None:
        self._fill(now_s)
        self.level -= count

    def _fill(self, now_s: float) -> None:
        if self.at_s is not None:
            gained = (now_s - self.at_s) * self.rate.count / self.rate.period_s
            self.level = min(float(self.rate.count), self.level + gained)
        self.at_s = now_s
