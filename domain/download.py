"""Downloads: how much may be fetched, how fast and when, and how far one is."""

import re
from dataclasses import dataclass

from domain.models.model import Weights
from domain.units import parse_size

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of each day, in minutes after midnight by the local clock.

    ``end_min`` before ``begin_min`` is the next day's."""

    begin_min: int
    end_min: int

    def is_open(self, minute: int) -> bool:
        if self.begin_min < self.end_min:
            return self.begin_min <= minute < self.end_min
        return minute >= self.begin_min or minute < self.end_min

    def __str__(self) -> str:
        return "-".join(f"{at // 60:02d}:{at % 60:02d}" for at in (self.begin_min, self.end_min))


@dataclass(frozen=True, slots=True)
class DownloadPolicy:
    """``limit_bytes_per_s`` holds for all files of a download together, ``reserve_bytes`` stay free on the
    disk, ``side_by_side`` files are fetched at once."""

    limit_bytes_per_s: int | None = None
    window: Window | None = None
    reserve_bytes: int = 0
    side_by_side: int = 4

    def is_open(self, minute: int) -> bool:
        """Whether bytes may be fetched at ``minute`` after midnight."""
        return self.window is None or self.window.is_open(minute)


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """How far the download of a file or of a set of files is; ``bytes_total`` is None if no server stated
    it. ``waiting`` says what it waits for while no bytes arrive. The last one of a set has ``weights``: all
    of them complete, with their location."""

    bytes_done: int
    bytes_total: int | None
    weights: Weights | None = None
    waiting: str | None = None


def parse_rate(text: str) -> int:
    """``"20MB/s"``, ``"20 MB"`` or ``"1.5MiB/s"`` -> bytes per second. Raises: ValueError."""
    if "b" in text:  # 20Mb/s are bits
        raise ValueError(f"{text!r} is not a rate: give 20MB/s or 500KB/s")
    try:
        bytes_per_s = parse_size(text.strip().removesuffix("/s"))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a rate: give 20MB/s or 500KB/s") from error
    if not bytes_per_s:
        raise ValueError(f"{text!r} is a rate of zero: nothing would be downloaded")
    return bytes_per_s


def parse_window(text: str) -> Window:
    """``"01:00-06:00"``, ``"22:00-06:00"``. Raises: ValueError."""
    begin, _, end = text.strip().partition("-")
    matches = _TIME.fullmatch(begin.strip()), _TIME.fullmatch(end.strip())
    if matches[0] is None or matches[1] is None:
        raise ValueError(f"{text!r} is not a window: give its begin and end, such as 01:00-06:00")
    minutes = [int(match[1]) * 60 + int(match[2]) for match in matches if match]
    if minutes[0] == minutes[1]:
        raise ValueError(f"{text!r} begins and ends at the same time")
    return Window(*minutes)
