"""Buckets of time: sums, steps that fit a window, what is kept."""

from math import inf, nan

import pytest

from daemon.state.telemetry.buckets import RESOLUTIONS, STEPS_S, Buffer, Value, choose, outdated
from domain.telemetry import DAY_S, Metric

HOURS = RESOLUTIONS[-1]


def test_a_bucket_has_least_most_mean_over_time_and_the_number_of_samples() -> None:
    buffer = Buffer()
    for at_s, watts, elapsed_s in ((7200, 300.0, 5.0), (7205, 100.0, 5.0), (7265, 20.0, 60.0)):
        buffer.add(at_s, [Value(Metric.POWER, "host", watts, elapsed_s)], {})
    buckets, _ = buffer.take()
    hour = next(one for key, one in buckets.items() if key.step_s == 3600)
    assert (hour.samples, hour.seconds, hour.lowest, hour.highest) == (3, 70, 20.0, 300.0)
    assert hour.total / hour.seconds == pytest.approx((300 * 5 + 100 * 5 + 20 * 60) / 70)
    assert sorted({key.start_s for key in buckets if key.step_s == 10}) == [7200, 7260]
    assert buffer.buckets == {}


def test_what_is_counted_adds_up() -> None:
    buffer = Buffer()
    for at_s, count in ((3600, 10), (3660, 0), (7199, 5)):
        buffer.add(at_s, [Value(Metric.PROMPT_TOKENS, "launch:a", count, 60.0)], {})
    hour = next(one for key, one in buffer.buckets.items() if key.step_s == 3600)
    assert (hour.total, hour.samples) == (15, 3)


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_what_is_no_number_is_no_sample(value: float) -> None:
    buffer = Buffer()
    buffer.add(0, [Value(Metric.POWER, "host", value, 5.0)], {})
    assert buffer.buckets == {}


@pytest.mark.parametrize(
    ("window_s", "points", "resolution_s", "step_s"),
    [
        pytest.param(600, 60, 10, 10, id="ten minutes"),
        pytest.param(3600, 60, 10, 60, id="an hour"),
        pytest.param(7200, 90, 60, 120, id="two hours, whose oldest tenth of a minute is just going"),
        pytest.param(DAY_S, 96, 60, 900, id="a day"),
        pytest.param(7 * DAY_S, 84, 900, 7200, id="a week"),
        pytest.param(90 * DAY_S, 90, 3600, DAY_S, id="all"),
        pytest.param(90 * DAY_S, 20, 3600, 8 * DAY_S, id="all, on a small screen"),
        pytest.param(13 * DAY_S, 1000, 900, 1800, id="many points"),
        pytest.param(15 * DAY_S, 1000, 3600, 3600, id="never finer than what is kept"),
    ],
)
def test_a_window_is_read_as_fine_as_it_is_kept_in_steps_that_people_read(
    window_s: float, points: int, resolution_s: int, step_s: int
) -> None:
    resolution, step = choose(window_s, points)
    assert (resolution.step_s, step) == (resolution_s, step_s)


def test_each_step_is_made_of_whole_buckets() -> None:
    for days in (0.01, 0.05, 1, 5, 13, 30, 90):
        resolution, step = choose(days * DAY_S, 60)
        assert step in STEPS_S
        assert step % resolution.step_s == 0


def test_the_oldest_go_once_there_are_more_than_are_kept() -> None:
    starts = [hour * 3600 for hour in range(HOURS.most_buckets + 3)]
    assert outdated(starts[:-3], HOURS, now_s=starts[-1]) == []
    assert outdated(starts, HOURS, now_s=starts[-1]) == [0, 3600, 7200]


def test_those_of_a_wrong_clock_go_first() -> None:
    starts = [hour * 3600 for hour in range(HOURS.most_buckets)]
    later = [starts[-1] + 3650 * DAY_S, starts[-1] + 3651 * DAY_S]
    assert outdated([*starts, *later], HOURS, now_s=starts[-1]) == [later[1], later[0]]


def test_a_clock_that_is_wrong_now_removes_no_more_than_room_is_needed() -> None:
    starts = [hour * 3600 for hour in range(HOURS.most_buckets)]
    future = [starts[-1] + 3650 * DAY_S]
    assert outdated([*starts, *future], HOURS, now_s=future[0]) == [0]
    past = [-3600 * 24 * 365]
    assert outdated([*starts, *past], HOURS, now_s=past[0]) == [starts[-1]]


def test_what_is_kept_is_what_the_page_says() -> None:
    assert [(one.step_s, one.kept_s) for one in RESOLUTIONS] == [
        *((10, 2 * 3600), (60, 2 * 86400), (900, 14 * 86400), (3600, 90 * 86400)),
    ]
    assert all(isinstance(step, int) for step in STEPS_S)
    assert list(STEPS_S) == sorted(STEPS_S)


def test_names_are_stored_with_what_is_recorded() -> None:
    buffer = Buffer()
    buffer.add(0, [Value(Metric.POWER, "pci:0", 1.0, 5.0)], {"pci:0": "RTX 3090"})
    assert buffer.take()[1] == {"pci:0": "RTX 3090"}
    assert buffer.take() == ({}, {})
