"""What happened in a day, in the words of ``node-ctl status`` and of messages. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from domain.events import REMEDIES, Level
from domain.units import counted

DAY = timedelta(hours=24)
SHOWN = 8  # events, the last ones
LEVELS = (Level.ERROR, Level.WARNING)


@dataclass(frozen=True, slots=True)
class Day:
    """The events of the last day. ``notable`` are warnings, errors and what ended them, oldest first;
    ``kinds`` counts those. ``is_cut``: there were earlier ones, which are not stored any more."""

    levels: Mapping[str, int]
    kinds: Mapping[str, int]
    notable: Sequence[Mapping[str, Any]]
    is_cut: bool = False

    @property
    def wrong(self) -> list[Mapping[str, Any]]:
        return [event for event in self.notable if _is_wrong(event)]


def last_day(events: Sequence[Mapping[str, Any]], now: datetime) -> Day:
    """``events`` are the last ones, oldest first."""
    recent = [event for event in events if is_within_day(event, now)]
    notable = [event for event in recent if _is_wrong(event) or event["kind"] in REMEDIES]
    return Day(
        Counter(event["level"] for event in recent),
        Counter(event["kind"] for event in notable),
        notable,
        is_cut=bool(events) and len(recent) == len(events) and events[0]["id"] > 1,
    )


def is_within_day(event: Mapping[str, Any], now: datetime) -> bool:
    at = moment_of(event["at"])
    return at is not None and at >= now - DAY


def _is_wrong(event: Mapping[str, Any]) -> bool:
    return event["level"] in LEVELS


def day_lines(day: Day) -> list[str]:
    """How many warnings and errors there were, and of which kinds, what was done; then the last of them."""
    head = f"{_wrong_counts(day)}{_done_counts(day)}"
    if day.is_cut:
        head += "; earlier ones are not stored any more"
    return [head, *(event_line(event) for event in day.notable[-SHOWN:])]


def event_line(event: Mapping[str, Any]) -> str:
    at, name, message = moment_of(event["at"]), event["launch"], event["message"]
    what = message if not name or name in message else f"{name}: {message}"
    return f"{'?' if at is None else shown_moment(at)}  {what}"


def _wrong_counts(day: Day) -> str:
    """``1 error, 2 warnings: died 2, failed 1``."""
    levels = ", ".join(counted(count, level) for level in LEVELS if (count := day.levels.get(level, 0)))
    if not levels:
        return f"nothing went wrong, {counted(sum(day.levels.values()), 'event')}"
    return f"{levels}: {_kinds(day, remedies=False)}"


def _done_counts(day: Day) -> str:
    done = _kinds(day, remedies=True)
    return f"; then {done}" if done else ""


def _kinds(day: Day, *, remedies: bool) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in day.kinds.items() if (kind in REMEDIES) is remedies)


def moment_of(moment: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def shown_moment(moment: datetime, zone: tzinfo | None = None) -> str:
    """``1 Dec 03:12``. ``zone``: ``None`` is that of the user."""
    local = moment.astimezone(zone)
    return f"{local.day} {local:%b %H:%M}"
