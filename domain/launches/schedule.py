"""What is done at a time of the day, without anybody asking."""

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What a schedule does. In a window, ``START`` and ``STOP`` do the opposite at its end, ``SWAP`` swaps
    back; downloads run only in a window of ``DOWNLOADS``, if there is one."""

    START = "start"
    STOP = "stop"
    SWAP = "swap"
    DOWNLOADS = "downloads"
    GC = "gc"
    VERIFY = "verify"
    PROVE = "prove"


class Missed(StrEnum):
    """What becomes of a time at which no daemon ran, or the machine slept."""

    RUN = "run"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class When:
    """Cron expressions of five fields, in local time. With ``end`` it is a window."""

    begin: str
    end: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """``words`` are those of its owner, from which ``when`` was made. ``names`` are launches, of ``VERIFY``
    models; ``free_bytes`` is what ``GC`` keeps free, ``None`` for ``disk_low_bytes``."""

    action: Action
    names: tuple[str, ...]
    words: str
    when: When
    missed: Missed = Missed.RUN
    free_bytes: int | None = None

    @property
    def in_words(self) -> str:
        names = f" {' '.join(self.names)}" if self.names else ""
        return f"{self.action}{names}"


@dataclass(frozen=True, slots=True)
class ScheduleRun:
    """``at`` is the time that was due, ISO 8601. ``result`` is ``None`` while it runs."""

    at: str
    result: str | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One of ``node-ctl schedule list --json``. ``is_open`` is ``None`` where it is no window."""

    id: int
    action: Action
    names: tuple[str, ...]
    words: str
    begin: str
    end: str | None
    missed: Missed
    free_bytes: int | None
    next: str | None
    is_open: bool | None
    last: ScheduleRun | None
