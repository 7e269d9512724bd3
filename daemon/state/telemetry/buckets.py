"""Samples summed up in buckets of time, at several resolutions at once. Pure.

A bucket is found by the time of day of its samples. A clock that is set back adds to buckets that there are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import NamedTuple

from domain.telemetry import DAY_S, KEPT_S, Metric


@dataclass(frozen=True, slots=True)
class Resolution:
    step_s: int
    kept_s: int

    @property
    def most_buckets(self) -> int:
        """Of each series."""
        return self.kept_s // self.step_s


RESOLUTIONS = (
    Resolution(10, 2 * 3600),
    Resolution(60, 2 * DAY_S),
    Resolution(900, 14 * DAY_S),
    Resolution(3600, KEPT_S),
)
MINUTE, HOUR = 60, 3600
# Steps that people read: each is a multiple of the resolution that its window is read in
STEPS_S = (
    *(10, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY_S, 2 * DAY_S, 4 * DAY_S, 8 * DAY_S),
)


@dataclass(frozen=True, slots=True)
class Value:
    """``value`` held for ``elapsed_s``, or was counted in that time."""

    metric: Metric
    subject: str
    value: float
    elapsed_s: float


class Key(NamedTuple):
    step_s: int
    start_s: int
    metric: Metric
    subject: str


@dataclass(slots=True)
class Bucket:
    """``total`` is the sum of what is counted, and of what is measured times the seconds that it held."""

    samples: int = 0
    seconds: int = 0
    total: float = 0.0
    lowest: float = inf
    highest: float = -inf

    def add(self, value: float, seconds: int, total: float) -> None:
        self.samples += 1
        self.seconds += seconds
        self.total += total
        self.lowest = min(self.lowest, value)
        self.highest = max(self.highest, value)


@dataclass(slots=True)
class Buffer:
    """What is not stored yet. ``names``: what people call a subject, where that is something else."""

    buckets: dict[Key, Bucket] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, at_s: float, values: Iterable[Value], names: Mapping[str, str]) -> None:
        """What is no number, as a driver may say, is left out."""
        self.names.update(names)
        starts = [(one.step_s, int(at_s) // one.step_s * one.step_s) for one in RESOLUTIONS]
        for one in values:
            if not isfinite(one.value):
                continue
            seconds = max(1, round(one.elapsed_s))
            total = one.value if one.metric.is_counted else one.value * seconds
            for step_s, start_s in starts:
                key = Key(step_s, start_s, one.metric, one.subject)
                if (bucket := self.buckets.get(key)) is None:
                    bucket = self.buckets[key] = Bucket()
                bucket.add(one.value, seconds, total)

    def take(self) -> tuple[dict[Key, Bucket], dict[str, str]]:
        taken = self.buckets, self.names
        self.buckets, self.names = {}, {}
        return taken


def choose(window_s: float, points: int) -> tuple[Resolution, int]:
    """The finest resolution that is kept for longer, since the oldest step is to be whole, or the last; and
    the step of at most ``points`` points."""
    resolution = next((one for one in RESOLUTIONS if one.kept_s > window_s), RESOLUTIONS[-1])
    fitting = (step for step in STEPS_S if step * points >= window_s and step % resolution.step_s == 0)
    return resolution, next(fitting, STEPS_S[-1])


def outdated(starts_s: Iterable[int], resolution: Resolution, now_s: float) -> list[int]:
    """Buckets beyond the number that is kept: those of a time that has not come yet, as a clock that was
    wrong leaves them, then the oldest. What is old is not reason enough: that clock may be wrong now."""
    ordered = sorted(starts_s)
    excess = max(0, len(ordered) - resolution.most_buckets)
    to_come = [start for start in reversed(ordered) if start > now_s + DAY_S]
    return [*to_come, *(start for start in ordered if start <= now_s + DAY_S)][:excess]
