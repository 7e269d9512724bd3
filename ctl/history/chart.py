"""Charts of characters: bars in a line, or in several lines below each other. Pure."""

from collections.abc import Sequence
from itertools import pairwise

LEVELS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.:-=+*#"  # the darker, the higher
ASCII_FULL = "#"

Values = Sequence[float | None]


def bridged(values: Values, most: int) -> list[float | None]:
    """Holes of at most ``most`` steps, between two samples that are no further apart than usual, go on with
    the value before; others stay gaps."""
    drawn = list(values)
    known = [number for number, value in enumerate(values) if value is not None]
    for before, after in pairwise(known):
        if after - before <= most + 1:
            drawn[before + 1 : after] = [values[before]] * (after - before - 1)
    return drawn


def bars(values: Values, low: float, high: float, *, unicode: bool) -> str:
    """A character for each value, blank where there is none; ``low`` has the lowest, and is no gap."""
    levels = LEVELS if unicode else ASCII_LEVELS
    return "".join(" " if one is None else levels[_level(one, low, high, len(levels))] for one in values)


def rows(values: Values, low: float, high: float, height: int, *, unicode: bool) -> list[str]:
    """``height`` lines, the upper one first. A value that is known fills at least an eighth, in ASCII all, of
    its character in the lowest line."""
    steps = len(LEVELS) if unicode else 1
    filled = [0 if one is None else 1 + _level(one, low, high, height * steps) for one in values]
    return [
        "".join(_cell(one - row * steps, steps, unicode=unicode) for one in filled)
        for row in reversed(range(height))
    ]


def _cell(filled: int, steps: int, *, unicode: bool) -> str:
    if filled <= 0:
        return " "
    return LEVELS[min(filled, steps) - 1] if unicode else ASCII_FULL


def _level(value: float, low: float, high: float, levels: int) -> int:
    """From 0 to ``levels`` - 1."""
    share = 0.0 if high <= low else (value - low) / (high - low)
    return max(0, min(levels - 1, round(share * (levels - 1))))
