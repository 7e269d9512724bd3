"""Maps the log of an engine that ended to an error: tables of patterns, the most specific first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from signal import Signals

from domain.errors import EngineError
from launchers.command import Exit

# Lines that are likely to help an owner where no pattern matches.
LOOKS_LIKE_AN_ERROR = re.compile(r"error|fail|fatal|abort|assert|exception|cannot|unable", re.IGNORECASE)

FETCH_AGAIN = "remove the file and launch again: weights from a hub are downloaded again"

EXITED, CRASHED = "exited", "crashed"
UNEXPLAINED = frozenset((EXITED, CRASHED))  # causes that say how it ended but not why


MAX_LINE_CHARS = 2048
MAX_GROUP_CHARS = 200  # of what a message quotes


@dataclass(frozen=True, slots=True)
class Failure:
    """``message`` may refer to the groups of the pattern: ``{1}``."""

    cause: str
    pattern: str
    message: str
    hint: str


def match_failure(table: Sequence[Failure], log: str) -> EngineError | None:
    """The error of the first row of ``table`` that a line of ``log`` matches. Of a longer line than
    MAX_LINE_CHARS the rest is not looked at: an engine prints names of any length that a file gives it."""
    lines = [line[:MAX_LINE_CHARS] for line in log.splitlines()]
    for row in table:
        pattern = re.compile(row.pattern)
        for line in lines:
            if match := pattern.search(line):
                quoted = (match.group(0), *(group or "?" for group in match.groups()))
                message = row.message.format(*(text[:MAX_GROUP_CHARS] for text in quoted))
                return EngineError(message, hint=row.hint, cause=row.cause, engine_output=line.strip())
    return None


def explain_exit(engine: str, log: str, ended: Exit) -> EngineError:
    """The error for an exit status or signal, where no line of the log explains it."""
    engine_output = last_error_line(log)
    when = "while serving" if ended.served else "while starting"
    if ended.status == -Signals.SIGILL:
        return EngineError(
            f"{engine} uses CPU instructions that this CPU lacks (illegal instruction)",
            hint="point the settings at a build for this CPU, or install another version of the engine",
            cause="illegal_instruction",
            engine_output=engine_output,
        )
    if ended.status is not None and ended.status < 0:
        by_others = ended.status in (-Signals.SIGKILL, -Signals.SIGTERM)
        return EngineError(
            f"{engine} was killed by {Signals(-ended.status).name} {when}",
            hint="node-ctl logs shows its last lines",
            cause="killed" if by_others else CRASHED,
            engine_output="" if by_others else engine_output,  # what it said before is not why
        )
    how = "ended" if ended.status is None else f"exited {ended.status}"
    return EngineError(
        f"{engine} {how} {when}",
        hint="node-ctl logs shows its last lines",
        cause=EXITED,
        engine_output=engine_output,
    )


def oom_kill(engine: str, log: str) -> EngineError:
    return EngineError(
        f"the kernel killed {engine}: out of memory",
        hint="use a smaller --context or quant, stop another model, or raise the memory limit",
        cause="oom_killed",
        engine_output=last_error_line(log),
    )


def last_error_line(log: str) -> str:
    """The last line that looks like an error, else the last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if LOOKS_LIKE_AN_ERROR.search(line)]
    return (errors or lines or [""])[-1]
