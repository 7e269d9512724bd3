"""``node-ctl status``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ctl.autostart import as_row, connect, told_others
from ctl.client import Daemon, Peer, peer_of
from ctl.options import Json
from ctl.show.formatting import wrap
from ctl.show.launches import decode_rows
from ctl.show.status import (
    health_line,
    next_steps,
    problem_text,
    reasons,
    served_line,
)
from ctl.terminal import columns, print_json, sanitize
from domain.last_day import Day, day_lines, is_within_day, last_day
from domain.launches.launch import LaunchRow
from domain.units import duration

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl status
  node-ctl status --json
"""
EVENTS = (500, 10_000)  # first what most days have, then all that are stored
INDENT = 10


def command(*, as_json: Json = False) -> None:
    """Whether all is well and since when, what is served, what went wrong in the last day, and what to do
    now. Where another daemon runs, too, a line on standard error says whose this is.
    """
    daemon = connect()
    status = daemon.get("/v1/status")
    peer = peer_of(daemon.socket)
    others = told_others(peer, "status")
    rows = decode_rows(daemon.get("/v1/launches"))
    now = datetime.now(UTC)
    day = last_day(_events(daemon, now), now)
    if as_json:
        owner = {"user": peer and peer.user, "other_daemons": [as_row(other) for other in others]}
        why = reasons(status, rows)
        last = {"levels": day.levels, "kinds": day.kinds, "events": day.notable}
        print_json({**status, **owner, "well": not why, "unwell_because": why, "last_day": last})
        return
    lines = [f"{label:<{INDENT}}{text}" for label, text in _lines(status, peer, rows, day)]
    print(f"node-daemon {status['version']}, pid {status['pid']}, up {duration(status['uptime_s'])}")
    for line in wrap(lines, columns(), indent=INDENT):
        print(sanitize(line))


def _events(daemon: Daemon, now: datetime) -> Sequence[Mapping[str, Any]]:
    """At least those of the last day, oldest first."""
    events: list[Mapping[str, Any]] = []
    for last in EVENTS:
        events = [json.loads(line) for line in daemon.lines(f"/v1/events?last={last}")]
        if len(events) < last or not is_within_day(events[0], now):
            break
    return events


def _lines(
    status: Mapping[str, Any], peer: Peer | None, rows: list[LaunchRow], day: Day
) -> Iterator[tuple[str, str]]:
    counts = ", ".join(f"{count} {state}" for state, count in status["launches"].items() if count)
    yield "health", health_line(status, rows, day)
    yield "launches", counts or "none"
    yield "serves", served_line(rows)
    if status.get("gateway"):
        yield "clients", f"{status['gateway']}/v1 (OpenAI), {status['gateway']} (Anthropic, Ollama)"
    for problem in status["problems"]:
        yield "problem", problem_text(problem)
    for number, line in enumerate(day_lines(day)):
        yield ("", _cut(line)) if number else ("last day", line)
    for step in next_steps(status, rows, day):
        yield "to do", step
    yield "user", "?" if peer is None else peer.user
    yield "state", status["state_dir"]
    yield "models", status["models_dir"]
    yield "socket", status["socket"]


def _cut(line: str) -> str:
    """To one line of a terminal."""
    width = (columns() or len(line) + INDENT) - INDENT
    return line if len(line) <= width else f"{line[: max(0, width - 3)]}..."
