"""``node-ctl history``: charts, figures and times of what was recorded, on screens of any width."""

import json
import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ctl.history.chart import bars, bridged, rows
from ctl.history.figures import energy, figure, moment, span
from ctl.history.screen import Style, screen
from domain.serialization import to_json
from domain.telemetry import History, Metric, Peak, Point, Series, Summary
from tests.ctl.conftest import Ctl
from tests.ctl.terminal import terminal
from tests.ctl.test_completion import completed
from tests.fakes.daemon_server import FakeDaemon, refusal

SINCE_S = int(datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp())
CARD = "GPU0 NVIDIA GeForce RTX 3090"
HEAT = [40.0, 50.0, None, None, None, 60.0, 84.5, 84.0]


def measured(metric: Metric, values: list[float | None], name: str = CARD, spread: float = 0.0) -> Series:
    points = tuple(None if one is None else Point(12, one - spread, one, one + spread) for one in values)
    known = [one for one in values if one is not None]
    figures = (min(known) - spread, sum(known) / len(known), max(known) + spread)
    return Series(metric, name, name, metric.unit, points, *figures)


def counted(metric: Metric, values: list[float | None], name: str = "smol") -> Series:
    points = tuple(None if one is None else Point(12, total=one) for one in values)
    known = [one for one in values if one is not None]
    figures = (min(known), sum(known) / len(known), max(known), sum(known))
    return Series(metric, f"launch:{name}", name, metric.unit, points, *figures)


def history(*series: Series, step_s: int = 3600, since_s: int = SINCE_S, **more: Any) -> History:
    points = len(series[0].points) if series else 8
    until_s = since_s + points * step_s
    return History(since_s, until_s, step_s, 60.0, since_s, series=series, **more)


def drawn(found: History, width: int = 80, *, unicode: bool = True, is_detailed: bool = False) -> list[str]:
    lines = screen(found, Style(width, unicode, UTC), is_detailed=is_detailed)
    return [text for text, _ in lines]


WHOLE = history(
    measured(Metric.TEMPERATURE, HEAT),
    measured(Metric.MEMORY, [2.0**34, None, None, 2.0**35, 0, 0, 0, 0], "host"),
    counted(Metric.GENERATED_TOKENS, [0, 100, None, None, 1200, 0, 0, 30]),
    counted(Metric.UNKNOWN_ANSWERS, [0.0, 0.0, None, None, 0, 0, 0, 0]),
    counted(Metric.ENERGY, [0.0, 12.5, None, None, 900.0, 0.25, 0, 0], CARD),
    summary=Summary(4000, 1330, 2, {CARD: 912.75, "host": 300.0}, Peak(CARD, 84.5, SINCE_S + 6 * 3600, 60)),
)


def test_bars_are_scaled_a_zero_is_drawn_and_a_gap_is_blank() -> None:
    assert bars([0, 50, None, 100, 0], 0, 100, unicode=True) == "▁▅ █▁"
    assert bars([0, 50, None, 100, 0], 0, 100, unicode=False) == "_= #_"
    assert bars([7, 7], 7, 7, unicode=True) == "▁▁"
    assert bars([-5, 500], 0, 100, unicode=True) == "▁█", "what is beyond the scale stays in it"


def test_a_chart_has_lines_that_add_up() -> None:
    assert rows([0, 10, None, 20], 0, 20, 2, unicode=True) == [" ▁ █", "▁█ █"]
    assert rows([0, 10, None, 20], 0, 20, 2, unicode=False) == ["   #", "## #"]


@pytest.mark.parametrize(
    ("values", "most", "shown"),
    [
        pytest.param([1, None, 2], 1, [1, 1, 2], id="no longer than between two samples"),
        pytest.param([1, None, None, 2], 1, [1, None, None, 2], id="a gap stays whole"),
        pytest.param([None, 1, None], 5, [None, 1, None], id="neither before nor after"),
        pytest.param([1, None, 2], 0, [1, None, 2], id="each step has a sample"),
    ],
)
def test_only_what_lies_between_two_usual_samples_is_bridged(
    values: list[float | None], most: int, shown: list[float | None]
) -> None:
    assert bridged(values, most) == shown


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        (Metric.TEMPERATURE, 84.6, "85"),
        (Metric.POWER, 12.34, "12.3"),
        (Metric.POWER, 312.4, "312"),
        (Metric.POWER, 0.0, "0"),
        (Metric.MEMORY, 3 * 2**30, "3.0"),
        (Metric.ENERGY, 0.042, "0.042"),
        (Metric.PROMPT_TOKENS, 9999, "9999"),
        (Metric.PROMPT_TOKENS, 12345, "12.3k"),
        (Metric.PROMPT_TOKENS, 4.56e6, "4.6M"),
        (Metric.PROMPT_TOKENS, 9.9e11, "990.0G"),
        (Metric.POWER, None, "?"),
    ],
)
def test_figures_fit_their_column(metric: Metric, value: float | None, text: str) -> None:
    assert figure(metric, value) == text
    assert len(text) <= 6


def test_energy_and_spans_have_units() -> None:
    assert [energy(wh) for wh in (0.25, 830.0, 1234.5)] == ["0.25 Wh", "830 Wh", "1.23 kWh"]
    assert [span(seconds) for seconds in (10, 60, 900, 7200, 86400, 172800)] == [
        *("10 s", "1 min", "15 min", "2 h", "1 day", "2 days"),
    ]


def test_each_series_has_a_line_with_its_figures() -> None:
    lines = drawn(WHOLE, 80)
    assert lines[0] == "since 30 Nov 12:00, a character is 1 h, blank is not recorded"
    found = next(number for number, line in enumerate(lines) if line.startswith("temp"))
    head, line = lines[found : found + 2]
    assert head.split() == ["temperature", "(°C)", "min", "mean", "max"]
    assert line == "GPU0 NVIDIA GeForc.. ▁▃   ▄██                                   40     64     84"
    tokens = next(line for line in lines if line.startswith("smol"))
    assert tokens.split() == ["smol", "▁▂", "█▁▁▁", "222", "1200", "1330"]
    assert not any("did not tell their tokens" in line for line in lines), "none did not"


def test_the_last_lines_sum_it_up() -> None:
    assert drawn(WHOLE, 120)[-3:] == [
        "tokens   4000 in prompts, 1330 generated, 2 answers did not tell theirs",
        "energy   1.21 kWh: GPU0 NVIDIA GeForce RTX 3090 913 Wh, host 300 Wh",
        "hottest  GPU0 NVIDIA GeForce RTX 3090, 84 °C at 30 Nov 18:00",
    ]


def test_a_chart_has_its_scale_its_times_and_its_figures() -> None:
    lines = drawn(WHOLE, 60, is_detailed=True)
    caption, *chart = lines[lines.index("") + 1 :]
    assert caption == "temperature (°C) of GPU0 NVIDIA GeForce RTX 3090: min 40,"
    assert chart[1] == "    84 |      █▇"
    assert chart[6] == "    40 |▁█   ███"
    assert chart[7] == "        30 Nov 12:00"


def test_the_times_of_a_wide_chart_are_at_both_ends_and_in_the_middle() -> None:
    found = history(measured(Metric.POWER, [100.0] * 48), step_s=1800)
    (times,) = [line for line in drawn(found, 80, is_detailed=True) if line.endswith("now")]
    assert times.split("  ")[4] == "30 Nov 12:00"
    assert times.index("1 Dec 00:00") == 8 + 24 - len("1 Dec 00:00") // 2
    assert len(times) == 8 + 48


@pytest.mark.parametrize("points", range(8, 60))
def test_times_below_a_chart_never_touch(points: int) -> None:
    found = history(measured(Metric.POWER, [100.0] * points), step_s=1800)
    lines = drawn(found, 80, is_detailed=True)
    (times,) = [
        line for line in lines if line.startswith(" " * 8) and line.strip().startswith("30 Nov 12:00")
    ]
    assert re.fullmatch(r"(\d+ \w+ \d\d:\d\d)(  +\d+ \w+ \d\d:\d\d)?(  +now)?", times.strip()), times
    assert len(times) <= 8 + max(points, len("30 Nov 12:00"))


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("is_detailed", [True, False])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_a_screen(width: int, is_detailed: bool, unicode: bool) -> None:
    points = Style(width, unicode, UTC).points(is_detailed=is_detailed)
    values = [float(number % 90) for number in range(points)]
    name = "GPU7 " + "very long name " * 4
    found = history(
        *(measured(metric, values, name) for metric in (Metric.TEMPERATURE, Metric.POWER)),
        counted(Metric.PROMPT_TOKENS, values, "a-model-with-a-name-that-is-longer-than-its-column"),
        summary=WHOLE.summary,
        paused="the disk is full " * 9,
    )
    lines = drawn(found, width, unicode=unicode, is_detailed=is_detailed)
    assert max(map(len, lines)) <= width
    if not is_detailed:
        assert sum(levels in line for line in lines for levels in ("▁▁", "__")) == 3, "nothing is cut off"
    if not unicode:
        assert {char for line in lines for char in line if not char.isascii()} <= {"°"}


def test_names_of_others_do_no_harm() -> None:
    lines = drawn(history(measured(Metric.POWER, [1.0] * 8, "x\x1b[2J")), is_detailed=True)
    assert any("x\\x1b[2J" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_what_is_younger_than_asked_for_and_what_is_paused_is_told() -> None:
    found = history(measured(Metric.POWER, [1.0] * 8), paused="the disk is full")
    later = History(**{**_fields(found), "recorded_since_s": SINCE_S + 7200})
    text = " ".join(drawn(later, 200))
    assert "recorded since 30 Nov 14:00" in text
    assert "nothing is recorded now: the disk is full" in text
    assert "nothing was recorded in this time" in drawn(history())


def _fields(found: History) -> dict[str, Any]:
    return {name: getattr(found, name) for name in History.__dataclass_fields__}


def test_an_hour_that_comes_twice_has_two_names() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    twice = [moment(first + hour * 3600, berlin, with_offset=True) for hour in (0, 1)]
    assert twice == ["25 Oct 02:30 +02:00", "25 Oct 02:30 +01:00"]


@pytest.mark.parametrize(
    ("day", "offset"),
    [pytest.param(24, "+02:00", id="the clocks change"), pytest.param(22, "", id="they don't")],
)
def test_times_have_an_offset_where_clocks_were_changed(day: int, offset: str) -> None:
    since_s = int(datetime(2026, 10, day, 10, tzinfo=UTC).timestamp())
    found = history(measured(Metric.POWER, [1.0] * 24), since_s=since_s)
    style = Style(100, unicode=True, zone=ZoneInfo("Europe/Berlin"))
    head = screen(found, style, is_detailed=False)[0][0]
    assert head.startswith(f"since {day} Oct 12:00{' ' if offset else ''}{offset}, ")


@pytest.fixture
def recorded(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on("GET /v1/history", to_json(WHOLE))
    return daemon


def test_in_a_pipe_there_are_no_colours(ctl: Ctl, recorded: FakeDaemon) -> None:
    done = ctl("history", TZ="UTC")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == drawn(WHOLE, 100)
    assert recorded.asked[-1].query == {
        "since_s": "86400.0",
        "points": str(Style(100, True).points(is_detailed=False)),
    }


def test_what_was_asked_for_reaches_the_daemon(ctl: Ctl, recorded: FakeDaemon) -> None:
    out = ctl("history", "power", "--since", "7d", "--device", "GPU0", "--launch", "a b", TZ="UTC").stdout
    assert out.splitlines() == drawn(WHOLE, 100, is_detailed=True)
    assert recorded.asked[-1].query == {
        "what": "power", "since_s": "604800.0", "device": "GPU0", "launch": "a b", "points": "92",
    }  # fmt: skip


def test_an_encoding_without_blocks_gets_characters_of_ascii(ctl: Ctl, recorded: FakeDaemon) -> None:
    out = ctl("history", TZ="UTC", PYTHONIOENCODING="ascii").stdout
    assert out.isascii()
    assert "GPU0 NVIDIA GeForce RT.. _:   -##" in out
    assert "temperature (C)" in out


def test_json_is_the_daemons_answer(ctl: Ctl, recorded: FakeDaemon) -> None:
    assert json.loads(ctl("history", "--json").stdout) == to_json(WHOLE)


def test_a_refusal_is_told_with_what_there_is(ctl: Ctl, daemon: FakeDaemon) -> None:
    hint = "there are temperature, power, memory, tokens, energy"
    daemon.on("GET /v1/history", refusal("bad_usage", "nothing that is recorded is called 'fans'", hint, 422))
    done = ctl("history", "fans")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"node-ctl: nothing that is recorded is called 'fans'\nhint: {hint}\n"


@pytest.mark.parametrize("since", ["yesterday", "0", "-1h"])
def test_a_time_that_is_none_is_refused(ctl: Ctl, daemon: FakeDaemon, since: str) -> None:
    done = ctl("history", f"--since={since}")
    assert done.returncode == 2
    assert "90s, 30m or 2h" in done.stderr
    assert daemon.asked == []


def test_on_a_terminal_it_fits_and_heads_are_bold(ctl: Ctl, recorded: FakeDaemon) -> None:
    with terminal(["history"], ctl.env, columns=70) as shown:
        shown.until("hottest")
        assert shown.ended() == 0
    assert "\x1b[1m" in shown.screen


def test_what_can_be_asked_for_is_completed(ctl: Ctl) -> None:
    assert completed(ctl, "history", "t") == ["temperature", "tokens"]
