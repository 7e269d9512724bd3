"""From an engine's last lines to a cause: tables of patterns, most telling first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from signal import Signals

from domain.errors import EngineError
from launchers.command import Exit

# A line that the owner can act on, where no pattern knows it.
LOOKS_LIKE_AN_ERROR = re.compile(r"error|fail|fatal|abort|assert|exception|cannot|unable", re.IGNORECASE)

FETCH_AGAIN = "remove the file and launch again: what came from a hub is fetched anew"

EXITED, CRASHED = "exited", "crashed"
UNEXPLAINED = frozenset((EXITED, CRASHED))  # causes that say how it ended, and not why


@dataclass(frozen=True, slots=True)
class Failure:
    """``message`` may name the pattern's groups: ``{1}``."""

    cause: str
    pattern: str
    message: str
    hint: str


def known(table: Sequence[Failure], log: str) -> EngineError | None:
    """The error of the first row of ``table`` that a line of ``log`` matches."""
    lines = log.splitlines()
    for row in table:
        pattern = re.compile(row.pattern)
        for line in lines:
            if found := pattern.search(line):
                message = row.message.format(found.group(0), *(group or "?" for group in found.groups()))
                return EngineError(message, hint=row.hint, cause=row.cause, line=line.strip())
    return None


def by_exit(engine: str, log: str, ended: Exit) -> EngineError:
    """What the way it ended tells, where no line of the log does."""
    line = last_telling_line(log)
    when = "while serving" if ended.served else "while starting"
    if ended.status == -Signals.SIGILL:
        return EngineError(
            f"{engine} uses CPU instructions that this machine lacks (illegal instruction)",
            hint="point the settings at a build for this CPU, or install another version of the engine",
            cause="illegal_instruction",
            line=line,
        )
    if ended.status is not None and ended.status < 0:
        name = Signals(-ended.status).name
        return EngineError(
            f"{engine} was ended by {name} {when}",
            hint="node-ctl logs shows its last lines",
            cause="killed" if ended.status in (-Signals.SIGKILL, -Signals.SIGTERM) else CRASHED,
            line=line,
        )
    how = "ended" if ended.status is None else f"exited {ended.status}"
    return EngineError(
        f"{engine} {how} {when}", hint="node-ctl logs shows its last lines", cause=EXITED, line=line
    )


def out_of_memory_kill(engine: str, log: str) -> EngineError:
    return EngineError(
        f"the kernel killed {engine} because memory ran out",
        hint="plan with a smaller --context or quant, stop another model, or raise the memory limit",
        cause="oom_killed",
        line=last_telling_line(log),
    )


def last_telling_line(log: str) -> str:
    """The last line that looks like an error, else the last line at all."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if LOOKS_LIKE_AN_ERROR.search(line)]
    return (telling or lines or [""])[-1]
