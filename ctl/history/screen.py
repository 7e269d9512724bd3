"""A history as lines, each with its style: a line for each series, or a chart for each. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from itertools import groupby

from ctl.history.chart import bars, bridged, rows
from ctl.history.figures import energy, figure, has_change, moment, span, title
from ctl.show.formatting import wrap
from domain.telemetry import History, Metric, Series
from domain.text import printable
from domain.units import counted

Line = tuple[str, str]

HEIGHT = 6
FIGURE = 6  # characters, of which three stand in a line
AXIS = 8  # before a chart
LEAST_WIDTH = 40
LABEL_MOST = 24
HEADS = {False: ("min", "mean", "max"), True: ("mean", "max", "total")}


@dataclass(frozen=True, slots=True)
class Style:
    """``width`` in columns. ``zone`` is ``None`` for that of the user."""

    width: int
    unicode: bool
    zone: tzinfo | None = None

    @property
    def label(self) -> int:
        return min(LABEL_MOST, self.columns // 4)

    @property
    def columns(self) -> int:
        return max(LEAST_WIDTH, self.width)

    def points(self, *, is_detailed: bool) -> int:
        """How many steps fit beside the labels."""
        if is_detailed:
            return self.columns - AXIS
        return max(10, self.columns - self.label - 2 - 3 * (FIGURE + 1) - 1)


def screen(history: History, style: Style, *, is_detailed: bool) -> list[Line]:
    lines = [*_head(history, style), *(_charts if is_detailed else _overview)(history, style)]
    lines += ((text, "") for text in wrap(_summary(history, style), style.columns, indent=9))
    return [(printable(text).rstrip(), kind) for text, kind in lines]


def _head(history: History, style: Style) -> Iterator[Line]:
    since, step = _time(history, history.since_s, style), span(history.step_s)
    words = [f"since {since}", f"a character is {step}", "blank is not recorded"]
    recorded_s = history.recorded_since_s
    if recorded_s is not None and recorded_s > history.since_s:
        words.append(f"recorded since {_time(history, recorded_s, style)}")
    yield from ((text, "bold") for text in wrap([", ".join(words)], style.columns, indent=2))
    if history.paused:
        paused = f"nothing is recorded now: {history.paused}"
        yield from ((text, "yellow") for text in wrap([paused], style.columns, indent=2))
    if not history.series:
        yield "nothing was recorded in this time", ""
    yield "", ""


def _overview(history: History, style: Style) -> Iterator[Line]:
    for metric, group in groupby(_shown(history), key=lambda one: one.metric):
        found = list(group)
        heads = "".join(f" {head:>{FIGURE}}" for head in HEADS[metric.is_counted])
        head = title(metric, found[0].unit)
        yield f"{_cut(head, style.columns - len(heads)):<{style.columns - len(heads)}}{heads}", "bold"
        room = style.columns - style.label - 1 - len(heads)
        for one in found:
            low, high = _scale(one)
            drawn = bars(_values(one, history), low, high, unicode=style.unicode)
            told = (
                (one.mean, one.highest, one.total)
                if metric.is_counted
                else (one.lowest, one.mean, one.highest)
            )
            figures = "".join(f" {figure(metric, value):>{FIGURE}}" for value in told)
            yield f"{_cut(one.name, style.label):<{style.label}} {drawn[-room:]:<{room}}{figures}", ""
        yield "", ""


def _charts(history: History, style: Style) -> Iterator[Line]:
    for one in _shown(history):
        yield from ((text, "bold") for text in wrap([_caption(one, history)], style.columns, indent=2))
        low, high = _scale(one)
        values = _values(one, history)[-style.points(is_detailed=True) :]
        for number, row in enumerate(rows(values, low, high, HEIGHT, unicode=style.unicode)):
            at = {0: figure(one.metric, high), HEIGHT - 1: figure(one.metric, low)}.get(number, "")
            yield f"{at:>{AXIS - 2}} |{row}", ""
        yield f"{'':<{AXIS}}{_times(history, len(values), style)}", "dim"
        yield "", ""


def _caption(one: Series, history: History) -> str:
    """``power (W) of host: min 20, mean 35.2, max 61``."""
    told = zip(HEADS[False], (one.lowest, one.mean, one.highest), strict=True)
    figures = ", ".join(f"{head} {figure(one.metric, value)}" for head, value in told)
    if one.metric.is_counted:
        figures = f"{figure(one.metric, one.total)} in all; in {span(history.step_s)}: {figures}"
    return f"{title(one.metric, one.unit)} of {one.name}: {figures}"


def _times(history: History, columns: int, style: Style) -> str:
    """The first step below its character, the last one, which has not ended, and the middle where it fits."""
    first, last = _time(history, history.since_s, style), "now"
    middle = _time(history, history.since_s + columns // 2 * history.step_s, style)
    if columns < len(first) + len(last) + 2:
        return first
    start, end = columns // 2 - len(middle) // 2, columns - len(last)
    if len(first) + 2 > start or start + len(middle) + 2 > end:
        return f"{first:<{end}}{last}"
    return f"{first:<{start}}{middle:<{end - start}}{last}"


def _summary(history: History, style: Style) -> Iterator[str]:
    summary = history.summary
    if summary.prompt_tokens is not None or summary.generated_tokens is not None:
        parts = [f"{summary.prompt_tokens or 0} in prompts", f"{summary.generated_tokens or 0} generated"]
        if unknown := summary.unknown_answers:
            parts.append(f"{counted(unknown, 'answer')} did not tell theirs")
        yield f"tokens   {', '.join(parts)}"
    if devices := summary.energy_wh:
        each = ", ".join(f"{name} {energy(wh)}" for name, wh in devices.items())
        yield f"energy   {energy(sum(devices.values()))}: {each}" if len(devices) > 1 else f"energy   {each}"
    if (hottest := summary.hottest) is not None:
        at = _time(history, hottest.at_s, style)
        yield f"hottest  {hottest.name}, {hottest.temperature_c:.0f} °C at {at}"


def _shown(history: History) -> list[Series]:
    """Without counts of unknown answers that are all zero."""
    return [one for one in history.series if one.metric is not Metric.UNKNOWN_ANSWERS or one.total]


def _values(one: Series, history: History) -> list[float | None]:
    found = [
        None if point is None else point.total if one.metric.is_counted else point.mean
        for point in one.points
    ]
    return bridged(found, int(2 * history.sampled_every_s // history.step_s))


def _scale(one: Series) -> tuple[float, float]:
    """From zero, but for temperatures; a mean may not reach the highest sample of its step."""
    low = one.lowest or 0.0 if one.metric is Metric.TEMPERATURE else 0.0
    return low, max(low, one.highest or 0.0)


def _time(history: History, at_s: float, style: Style) -> str:
    changed = has_change(history.since_s, history.until_s, style.zone)
    return moment(at_s, style.zone, with_offset=changed)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 2]}.."
