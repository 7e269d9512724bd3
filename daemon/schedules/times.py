"""When a schedule is due, and whether its window is open. Pure: the time is an argument.

Local times that a change of the clocks leaves out come at the change, those that come twice count once: as in
Debian's cron.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from domain.launches.schedule import When

PROMPT_S = 90.0  # what is later was missed: the machine slept, or no daemon ran


@dataclass(frozen=True, slots=True)
class Due:
    """``at`` in UTC; ``is_end`` of a window."""

    at: datetime
    is_end: bool
    missed: bool


def due(when: When, handled: datetime, now: datetime) -> Due | None:
    """The last begin or end after ``handled``: what came before it is undone by it, or the same again.
    ``now`` is in the time zone that the schedule is for."""
    found = [
        (at, is_end)
        for cron, is_end in ((when.begin, False), (when.end, True))
        if cron is not None and (at := _previous(cron, now)) is not None and at > handled
    ]
    if not found:
        return None
    at, is_end = max(found)
    return Due(at, is_end, missed=(now - at).total_seconds() > PROMPT_S)


def is_open(when: When, now: datetime) -> bool:
    """Whether it is a window, and now is in it."""
    begin = _previous(when.begin, now)
    end = None if when.end is None else _previous(when.end, now)
    return when.end is not None and begin is not None and (end is None or begin > end)


def following(when: When, now: datetime) -> datetime | None:
    """The next begin or end, in UTC."""
    upcoming = [_next(CronSim(cron, now)) for cron in (when.begin, when.end) if cron is not None]
    return min((at for at in upcoming if at is not None), default=None)


def _previous(cron: str, now: datetime) -> datetime | None:
    """Its last time, now or before."""
    second = (now.astimezone(UTC) + timedelta(seconds=1)).replace(microsecond=0)
    return _next(CronSim(cron, second.astimezone(now.tzinfo), reverse=True))


def _next(times: Iterator[datetime]) -> datetime | None:
    found = next(times, None)
    return None if found is None else found.astimezone(UTC)
