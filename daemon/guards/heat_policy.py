"""How far a hot device is relieved: by its temperature, its limits and the time. Pure.

A level more after each while above the soft limit, all at once at the hard limit; a level less after each
while well below the soft limit.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

RAISE_S = 30.0  # above the soft limit before the next level: fans and a heatsink take about as long
HARD_S = 4.0  # above the hard limit before its models stop: one reading may be a glitch
LOWER_S = 60.0
BACK_C = 5.0  # below the soft limit it is cool


class Level(IntEnum):
    """What is done for a device, each with what is before it."""

    NONE = 0
    PARALLEL = 1  # half as many requests at a time
    PAUSE = 2  # one at a time, and a rest after each
    UNLOAD = 3  # only the most valuable model stays
    STOP = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """``highest``: what is done below the hard limit at most."""

    soft_c: float
    hard_c: float
    highest: Level = Level.UNLOAD


@dataclass(frozen=True, slots=True)
class Reading:
    """The hottest part of a device. ``throttled``: it says that it is held down by heat."""

    name: str
    temperature_c: float
    limits: Limits
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Heat:
    """``changed_s``: when ``level`` was last raised, lowered or kept by a change of direction; ``hard_s`` and
    ``cool_s``: since when it is above the hard limit, or cool. ``peak_c`` is the highest since the first
    level."""

    level: Level = Level.NONE
    changed_s: float = 0.0
    hard_s: float | None = None
    cool_s: float | None = None
    peak_c: float | None = None


def after_reading(heat: Heat, reading: Reading, now_s: float) -> Heat:
    limits, hot_c = reading.limits, reading.temperature_c
    hard_s = None if hot_c < limits.hard_c else now_s if heat.hard_s is None else heat.hard_s
    is_hot = reading.throttled or hot_c >= limits.soft_c
    is_cool = not reading.throttled and hot_c <= limits.soft_c - BACK_C
    cool_s = None if not is_cool else now_s if heat.cool_s is None else heat.cool_s
    peak_c = max(hot_c, heat.peak_c or hot_c) if is_hot or heat.level else None
    seen = replace(heat, hard_s=hard_s, cool_s=cool_s, peak_c=peak_c)
    if hard_s is not None and now_s - hard_s >= HARD_S:
        return _at(seen, Level.STOP, now_s)
    if is_hot:
        return _raised(seen, limits, now_s)
    if cool_s is not None and heat.level and now_s - max(cool_s, heat.changed_s) >= LOWER_S:
        return _lowered(seen, now_s)
    return seen


def _raised(heat: Heat, limits: Limits, now_s: float) -> Heat:
    if heat.level >= limits.highest or (heat.level and now_s - heat.changed_s < RAISE_S):
        return heat
    return _at(heat, Level(heat.level + 1), now_s)


def _lowered(heat: Heat, now_s: float) -> Heat:
    """What was stopped comes back with pauses."""
    lower = Level.PAUSE if heat.level > Level.PAUSE else Level(heat.level - 1)
    return _at(heat, lower, now_s)


def _at(heat: Heat, level: Level, now_s: float) -> Heat:
    return heat if level is heat.level else replace(heat, level=level, changed_s=now_s)


def parallel(level: Level, own: int | None) -> int | None:
    """How many requests at a time an engine gets that computes ``own`` at once; ``None`` for no limit."""
    if level is Level.NONE:
        return None
    return max(1, (own or 1) // 2) if level is Level.PARALLEL else 1
