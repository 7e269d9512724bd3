"""``node-ctl status``: is it well, since when, what happened in the last day, and what to do now. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.last_day import SHOWN, Day, moment_of, shown_moment
from domain.launches.launch import LaunchRow, LaunchState
from domain.units import counted, rate

UNWELL = (LaunchState.FAILED, LaunchState.DEGRADED)


def reasons(status: Mapping[str, Any], rows: Sequence[LaunchRow]) -> list[str]:
    """Why it is not well; [] if it is."""
    launches = [f"{row.name} is {row.state}" for row in rows if row.state in UNWELL]
    return [*launches, *(problem_text(problem) for problem in status["problems"])]


def health_line(status: Mapping[str, Any], rows: Sequence[LaunchRow], day: Day) -> str:
    """``well since 1 Dec 03:12``: since the last warning or error, else since the daemon runs; ``well`` where
    neither has a time."""
    if found := reasons(status, rows):
        return f"not well: {'; '.join(found)}"
    moments = map(moment_of, (status["since"], *(event["at"] for event in day.wrong[-1:])))
    since = max((moment for moment in moments if moment is not None), default=None)
    return "well" if since is None else f"well since {shown_moment(since)}"


def served_line(rows: Sequence[LaunchRow]) -> str:
    return ", ".join(f"{row.name} ({_state(row)})" for row in rows) or "nothing: node-ctl launch MODEL"


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
