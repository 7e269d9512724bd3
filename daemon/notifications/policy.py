"""Which events a target is sent, and when. Pure: the time is an argument."""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from daemon.schedules import times
from daemon.state.records import Event
from domain.events import ENDS, NEVER_NOTIFIED, UNDER_WAY, Level
from domain.notifications import Target

BURST = 5  # messages that go out at once
REFILL = timedelta(minutes=5)  # for each further one
RETRY_FIRST = timedelta(seconds=30)
RETRY_MAX = timedelta(hours=1)
FAILS_LONG = timedelta(minutes=15)
LATEST = 8  # events that a message has in full
KINDS_MAX = 200  # other versions may have more than this one
TOLD_MAX = 200
CLOCK_WAS_WRONG = timedelta(days=2)

Told = dict[tuple[str, str | None], int]


def wants(target: Target, event: Event, told: Told) -> bool:
    """Whether ``target`` is sent ``event``. ``told`` counts, by kind and launch, the warnings and errors that
    it was sent and whose end it was not."""
    if event.kind in NEVER_NOTIFIED:
        return False
    by_level = target.level is not None and event.level.rank >= target.level.rank
    return by_level or event.kind in target.kinds or bool(_ended(event, told))


def remember(event: Event, told: Told) -> None:
    """Of an event that is sent."""
    for key in _ended(event, told) if event.kind not in UNDER_WAY else ():
        kind, launch = key
        told[key] -= 1
        if told[key] < 1 or launch is not None:
            del told[kind, launch]
    if event.level is not Level.INFO:
        key = (event.kind, event.launch)
        told[key] = told.pop(key, 0) + 1
        while len(told) > TOLD_MAX:
            del told[next(iter(told))]


def _ended(event: Event, told: Told) -> list[tuple[str, str | None]]:
    """What of ``told`` it ends. Of some kinds only one of the two events names a launch."""
    kinds = ENDS.get(event.kind, frozenset())
    launches = {event.launch, None} if event.launch is not None else {launch for _, launch in told}
    return [(kind, launch) for kind, launch in told if kind in kinds and launch in launches]


def is_end(kind: str) -> bool:
    """Of something that went wrong."""
    return kind in ENDS and kind not in UNDER_WAY


@dataclass(slots=True)
class Pending:
    """Events for a target that are not sent yet: counted, the latest in full. ``missing`` were deleted before
    they were read. ``up_to`` is the id of the last one that was looked at."""

    up_to: int
    kinds: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    latest: deque[Event] = field(default_factory=lambda: deque(maxlen=LATEST))
    missing: int = 0

    @property
    def total(self) -> int:
        return self.levels.total()

    def add(self, event: Event) -> None:
        known = event.kind in self.kinds or len(self.kinds) < KINDS_MAX
        self.kinds[event.kind if known else "other"] += 1
        self.levels[event.level] += 1
        self.latest.append(event)

    def followed_by(self, later: "Pending") -> "Pending":
        both = Pending(max(self.up_to, later.up_to), self.kinds + later.kinds, self.levels + later.levels)
        both.latest.extend((*self.latest, *later.latest))
        both.missing = self.missing + later.missing
        return both


@dataclass(slots=True)
class Pace:
    """A bucket of messages, and the back-off of a target that fails. ``failing_since`` is its first failure
    after a success."""

    messages: float = BURST
    counted_at: datetime | None = None
    failures: int = 0
    failed_at: datetime | None = None
    failing_since: datetime | None = None
    is_told: bool = False

    def may_send(self, now: datetime) -> bool:
        self._refill(now)
        return self.messages >= 1 and not self._waits(now)

    def may_retry(self, now: datetime) -> bool:
        """Of a digest, which the bucket is not for."""
        return not self._waits(now)

    def sent(self, now: datetime) -> None:
        self._refill(now)
        self.messages = max(0.0, self.messages - 1)
        self.failures, self.failed_at, self.failing_since, self.is_told = 0, None, None, False

    def failed(self, now: datetime) -> bool:
        """Whether that is to be told now: once, after it failed for long."""
        self.failures += 1
        self.failed_at = now
        self.failing_since = min(self.failing_since or now, now)
        is_news = not self.is_told and now - self.failing_since >= FAILS_LONG
        self.is_told = self.is_told or is_news
        return is_news

    def _waits(self, now: datetime) -> bool:
        if self.failed_at is None or now < self.failed_at:  # the clock was set back
            return False
        wait_s = RETRY_FIRST.total_seconds() * 2.0 ** min(self.failures - 1, 12)
        return (now - self.failed_at).total_seconds() < min(RETRY_MAX.total_seconds(), wait_s)

    def _refill(self, now: datetime) -> None:
        passed = timedelta(0) if self.counted_at is None else max(timedelta(0), now - self.counted_at)
        self.messages = min(float(BURST), self.messages + passed / REFILL)
        self.counted_at = now


def is_due(target: Target, pending: Pending, pace: Pace, digested: datetime, now: datetime) -> bool:
    """Whether a message goes out now. ``digested`` is when the last digest was due. ``now`` is in the zone
    that times of the day are for."""
    if target.digest is not None:
        return pace.may_retry(now) and times.due(target.digest, digested, now) is not None
    if not pending.total and not pending.missing:
        return False
    is_quiet = target.quiet is not None and times.is_open(target.quiet, now)
    return not is_quiet and pace.may_send(now)


def digest_due(target: Target, digested: datetime, now: datetime) -> datetime:
    """The time of the digest that goes out at ``now``, for the next one to come after it."""
    due = None if target.digest is None else times.due(target.digest, digested, now)
    return digested if due is None else due.at


def is_of_future(digested: datetime, now: datetime) -> bool:
    """The clock was ahead then: no digest would come for as long."""
    return digested - now > CLOCK_WAS_WRONG
