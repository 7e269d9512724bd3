"""Figures, units and times of a history, as people read them. Pure."""

from datetime import UTC, datetime, tzinfo

from domain.last_day import shown_moment
from domain.telemetry import Metric
from domain.units import GIB

UNITS = {"bytes": "GiB"}
TITLES = {
    Metric.MEMORY: "memory in use",
    Metric.PROMPT_TOKENS: "tokens of prompts",
    Metric.GENERATED_TOKENS: "tokens generated",
    Metric.UNKNOWN_ANSWERS: "answers that did not tell their tokens",
}


def title(metric: Metric, unit: str) -> str:
    """``temperature (°C)``; what is a number of something names it already."""
    words = TITLES.get(metric, metric.value)
    return words if unit in ("tokens", "answers") else f"{words} ({UNITS.get(unit, unit)})"


def figure(metric: Metric, value: float | None) -> str:
    """In at most six characters: ``83``, ``12.4``, ``0.04``, ``12.3k``, ``4.5M``; unknown -> ``?``."""
    if value is None:
        return "?"
    if metric is Metric.TEMPERATURE:
        return f"{value:.0f}"
    if metric is Metric.MEMORY:
        return f"{value / GIB:.1f}"
    for least, unit_of, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= least:
            return f"{value / unit_of:.1f}{unit}"
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def energy(wh: float) -> str:
    """``1.25 kWh``, ``830 Wh``, ``0.4 Wh``."""
    return f"{wh / 1000:.2f} kWh" if wh >= 1000 else f"{figure(Metric.ENERGY, wh)} Wh"


def span(seconds: float) -> str:
    """``15 min``, ``2 h``, ``90 days``: of whole units only."""
    for unit_s, one, more in ((86400, "day", "days"), (3600, "h", "h"), (60, "min", "min")):
        if seconds >= unit_s and seconds % unit_s == 0:
            count = int(seconds // unit_s)
            return f"{count} {one if count == 1 else more}"
    return f"{seconds:g} s"


def has_change(since_s: float, until_s: float, zone: tzinfo | None) -> bool:
    """Whether the clocks were changed in between: then an hour has two names, or none."""
    return _local(since_s, zone).utcoffset() != _local(until_s, zone).utcoffset()


def moment(at_s: float, zone: tzinfo | None, *, with_offset: bool) -> str:
    """``1 Dec 03:12``, with ``+01:00`` where clocks were changed. ``zone``: ``None`` is that of the user."""
    local = _local(at_s, zone)
    text = shown_moment(local, zone)
    if not with_offset:
        return text
    offset = f"{local:%z}"
    return f"{text} {offset[:3]}:{offset[3:5]}"


def _local(at_s: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone)
