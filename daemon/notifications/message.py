"""What a message says, as plain text: the box, what happened, numbers, the next step. Pure.

Names in events are others': no link, mention or control character of theirs is one at the receiver.
"""

import re
from dataclasses import dataclass
from typing import Any

from daemon.notifications.policy import Pending, is_end
from daemon.state.records import Event
from domain.events import ENDS, EventKind, Level
from domain.last_day import LEVELS, Day, day_lines, event_line
from domain.text import printable
from domain.units import counted

TITLE_MAX = 120  # characters
LINE_MAX = 400
_LINK = re.compile(r"(?<=\w):(?=//)|(?<=\bwww)\.", re.IGNORECASE)
_MENTION = re.compile(r"@(?=[\w&!#])")
_SPACES = re.compile(r"\s+")
STEPS = {
    EventKind.DISK_LOW: "node-ctl gc frees space",
    EventKind.DOWNLOAD_FAILED: "node-ctl pull MODEL tries again",
    EventKind.WEIGHTS_DAMAGED: "node-ctl pull MODEL fetches them again",
    EventKind.HOT: "node-ctl top shows temperatures",
    EventKind.SCHEDULE_FAILED: "node-ctl schedule list",
    EventKind.SETTINGS_REJECTED: "node-ctl config check",
    EventKind.GPU_LOST: "node-ctl doctor",
    EventKind.GPU_FAULT: "node-ctl doctor",
    EventKind.DEVICE_WEDGED: "node-ctl doctor",
}


@dataclass(frozen=True, slots=True)
class Message:
    title: str
    body: str


def of_events(box: str, pending: Pending) -> Message:
    """Of one event in full; of several how many of which kind, and the latest."""
    if pending.total == 1 and not pending.missing:
        return _of_one(box, pending.latest[0])
    counts = [counted(count, level) for level in LEVELS if (count := pending.levels[level])]
    title = f"{box}: {counted(pending.total, 'event')}" + (f", {', '.join(counts)}" if counts else "")
    kinds = ", ".join(f"{kind} {count}" for kind, count in pending.kinds.most_common())
    latest = [event_line(_row(event)) for event in pending.latest]
    left_out = pending.total - len(latest)
    more = [f"the last {len(latest)}:"] if left_out > 0 else []
    return _message(title, [kinds, *_missing(pending), *more, *latest, f"Next: {_step_of(pending)}"])


def _of_one(box: str, event: Event) -> Message:
    kind = event.kind.replace("_", " ")
    what = f"{event.level}: {kind}"
    if event.level is Level.INFO and event.kind in ENDS:
        what = f"well again: {kind}" if is_end(event.kind) else f"done about it: {kind}"
    return _message(f"{box}: {what}", [event_line(_row(event)), f"Next: {_step(event)}"])


def digest(box: str, pending: Pending) -> Message:
    """In the words of ``node-ctl status``."""
    day = Day(pending.levels, pending.kinds, [_row(event) for event in pending.latest])
    errors, warnings = pending.levels[Level.ERROR], pending.levels[Level.WARNING]
    counts = ", ".join(
        counted(count, level) for level, count in ((Level.ERROR, errors), (Level.WARNING, warnings)) if count
    )
    head, *lines = day_lines(day)
    rest = [f"Next: {_step_of(pending)}"] if counts else ["node-ctl status tells more"]
    return _message(f"{box}: {counts or 'nothing went wrong'}", [head, *_missing(pending), *lines, *rest])


def of_test(box: str, target: str) -> Message:
    lines = [f"Messages for {target} arrive.", "It was sent by node-ctl notify test."]
    return _message(f"{box}: test of notifications", lines)


def _missing(pending: Pending) -> list[str]:
    """Of events that were deleted before this target could be told of them."""
    return [f"{counted(pending.missing, 'earlier event')} not stored any more"] if pending.missing else []


def _step_of(pending: Pending) -> str:
    wrong = [event for event in pending.latest if event.level is not Level.INFO]
    steps = {_step(event) for event in wrong}
    return steps.pop() if len(steps) == 1 else "node-ctl status"


def _step(event: Event) -> str:
    if (found := STEPS.get(event.kind)) is not None:  # type: ignore[call-overload]  # a StrEnum's member equals its text
        return str(found)
    if event.launch and event.level is not Level.INFO:
        return f"node-ctl logs {event.launch}"
    return "node-ctl status"


def _row(event: Event) -> dict[str, Any]:
    return {"at": event.at, "launch": event.launch, "message": event.message, "level": event.level}


def _message(title: str, lines: list[str]) -> Message:
    return Message(_plain(title, TITLE_MAX), "\n".join(_plain(line, LINE_MAX) for line in lines))


def _plain(text: str, most: int) -> str:
    """In one line of at most ``most`` characters."""
    text = _MENTION.sub("@ ", _LINK.sub(" ", _SPACES.sub(" ", printable(text))))
    return text if len(text) <= most else f"{text[: most - 3]}..."
