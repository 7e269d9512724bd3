"""``node-ctl status``: is it well, since when, what happened in the last day, and what to do now. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.events import Level
from domain.launches.launch import LaunchRow, LaunchState
from domain.units import rate

DAY = timedelta(hours=24)
SHOWN = 8  # events, the last ones
LEVELS = (Level.ERROR, Level.WARNING)
UNWELL = (LaunchState.FAILED, LaunchState.DEGRADED)


@dataclass(frozen=True, slots=True)
class Day:
    """The events of the last day. ``notable`` are warnings and errors, oldest first."""

    levels: Mapping[str, int]
    kinds: Mapping[str, int]
    notable: Sequence[Mapping[str, Any]]


def last_day(events: Iterable[Mapping[str, Any]], now: datetime) -> Day:
    recent = [event for event in events if _time(event["at"]) >= now - DAY]
    notable = [event for event in recent if event["level"] in LEVELS]
    return Day(
        Counter(event["level"] for event in recent), Counter(event["kind"] for event in notable), notable
    )


def reasons(status: Mapping[str, Any], rows: Sequence[LaunchRow]) -> list[str]:
    """Why it is not well; [] if it is."""
    launches = [f"{row.name} is {row.state}" for row in rows if row.state in UNWELL]
    return [*launches, *(_problem(problem) for problem in status["problems"])]


def health_line(status: Mapping[str, Any], rows: Sequence[LaunchRow], day: Day) -> str:
    """``well since 1 Dec 03:12``: since the last warning or error, else since the daemon runs."""
    if found := reasons(status, rows):
        return f"not well: {'; '.join(found)}"
    since = max(_time(moment) for moment in (status["since"], *(event["at"] for event in day.notable[-1:])))
    return f"well since {_shown(since)}"


def served_line(rows: Sequence[LaunchRow]) -> str:
    return ", ".join(f"{row.name} ({_state(row)})" for row in rows) or "nothing: node-ctl launch MODEL"


def day_lines(day: Day) -> list[str]:
    """How many warnings and errors there were of which kinds, then the last of them."""
    if not day.notable:
        return [f"nothing went wrong, {sum(day.levels.values())} events"]
    counts = [
        f"{count} {level}{'' if count == 1 else 's'}" for level in LEVELS if (count := day.levels[level])
    ]
    kinds = ", ".join(f"{kind} {count}" for kind, count in day.kinds.items())
    events = [f"{_shown(_time(event['at']))}  {_what(event)}" for event in day.notable[-SHOWN:]]
    return [f"{', '.join(counts)}: {kinds}", *events]


def next_steps(rows: Sequence[LaunchRow], day: Day) -> list[str]:
    """What an owner may do now; [] where nothing waits for one."""
    steps = [
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
    words += [f"{row.restarts} restart{'' if row.restarts == 1 else 's'}"] if row.restarts else []
    return ", ".join(words)


def _problem(problem: object) -> str:
    return f"{problem['source']}: {problem['what']}" if isinstance(problem, dict) else str(problem)


def _what(event: Mapping[str, Any]) -> str:
    name, message = event["launch"], event["message"]
    return message if not name or name in message else f"{name}: {message}"


def _time(moment: str) -> datetime:
    """Of long ago for what is no time."""
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _shown(moment: datetime) -> str:
    local = moment.astimezone()
    return f"{local.day} {local:%b %H:%M}"
