"""``node-ctl status``: is it well, since when, what happened in the last day, and what to do now. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.events import REMEDIES, Level
from domain.launches.launch import LaunchRow, LaunchState
from domain.units import counted, rate

DAY = timedelta(hours=24)
SHOWN = 8  # events, the last ones
LEVELS = (Level.ERROR, Level.WARNING)
UNWELL = (LaunchState.FAILED, LaunchState.DEGRADED)


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
    at = _time(event["at"])
    return at is not None and at >= now - DAY


def _is_wrong(event: Mapping[str, Any]) -> bool:
    return event["level"] in LEVELS


def reasons(status: Mapping[str, Any], rows: Sequence[LaunchRow]) -> list[str]:
    """Why it is not well; [] if it is."""
    launches = [f"{row.name} is {row.state}" for row in rows if row.state in UNWELL]
    return [*launches, *(problem_text(problem) for problem in status["problems"])]


def health_line(status: Mapping[str, Any], rows: Sequence[LaunchRow], day: Day) -> str:
    """``well since 1 Dec 03:12``: since the last warning or error, else since the daemon runs; ``well`` where
    neither has a time."""
    if found := reasons(status, rows):
        return f"not well: {'; '.join(found)}"
    moments = map(_time, (status["since"], *(event["at"] for event in day.wrong[-1:])))
    since = max((moment for moment in moments if moment is not None), default=None)
    return "well" if since is None else f"well since {_shown(since)}"


def served_line(rows: Sequence[LaunchRow]) -> str:
    return ", ".join(f"{row.name} ({_state(row)})" for row in rows) or "nothing: node-ctl launch MODEL"


def day_lines(day: Day) -> list[str]:
    """How many warnings and errors there were, and of which kinds, what was done; then the last of them."""
    head = f"{_wrong_counts(day)}{_done_counts(day)}"
    if day.is_cut:
        head += "; earlier ones are not stored any more"
    return [head, *(f"{_moment(event)}  {_what(event)}" for event in day.notable[-SHOWN:])]


def _wrong_counts(day: Day) -> str:
    """``1 error, 2 warnings: died 2, failed 1``."""
    if not day.wrong:
        return f"nothing went wrong, {counted(sum(day.levels.values()), 'event')}"
    levels = ", ".join(counted(count, level) for level in LEVELS if (count := day.levels[level]))
    return f"{levels}: {_kinds(day, remedies=False)}"


def _done_counts(day: Day) -> str:
    done = _kinds(day, remedies=True)
    return f"; then {done}" if done else ""


def _kinds(day: Day, *, remedies: bool) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in day.kinds.items() if (kind in REMEDIES) is remedies)


def next_steps(status: Mapping[str, Any], rows: Sequence[LaunchRow], day: Day) -> list[str]:
    """What an owner may do now; [] where nothing waits for one."""
    steps = [
        f"{problem['source']}: {problem['hint']}"
        for problem in status["problems"]
        if isinstance(problem, dict) and problem.get("hint")
    ]
    steps += [
        f"node-ctl logs {row.name} tells why; node-ctl start {row.name} tries again"
        for row in rows
        if row.state in UNWELL
    ]
    steps += [f"{row.name} runs with less: {row.reduced}" for row in rows if row.reduced]
    return [*steps, "node-ctl events tells the rest"] if len(day.notable) > SHOWN else steps


def _state(row: LaunchRow) -> str:
    words = [str(row.state)]
    words += ["on demand"] if row.starts_on_request else []
    speed = row.decode_tokens_per_s if row.state is LaunchState.READY else None
    words += [] if speed is None else [f"{rate(speed)} tokens/s"]
    words += [counted(row.restarts, "restart")] if row.restarts else []
    return ", ".join(words)


def problem_text(problem: object) -> str:
    return f"{problem['source']}: {problem['what']}" if isinstance(problem, dict) else str(problem)


def _what(event: Mapping[str, Any]) -> str:
    name, message = event["launch"], event["message"]
    return message if not name or name in message else f"{name}: {message}"


def _time(moment: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _moment(event: Mapping[str, Any]) -> str:
    at = _time(event["at"])
    return "?" if at is None else _shown(at)


def _shown(moment: datetime) -> str:
    local = moment.astimezone()
    return f"{local.day} {local:%b %H:%M}"
