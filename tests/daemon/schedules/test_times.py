"""When schedules are due: over nights, weeks, changes of the clocks, and times at which no daemon ran."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from daemon.schedules.times import PROMPT_S, due, following, is_open
from daemon.schedules.words import parse
from domain.launches.schedule import When

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = parse("every night at 2:30")
WEEKNIGHTS = parse("weekdays 23:00-07:00")


def at(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


def all_due(when: When, begin: datetime, end: datetime) -> list[str]:
    """As the job of the daemon sees them, which looks every 5 s; here each minute."""
    found, handled, now = [], begin.astimezone(UTC), begin.astimezone(UTC)
    while now < end:
        if (one := due(when, handled, now.astimezone(BERLIN))) is not None:
            assert not one.missed
            found.append(f"{one.at:%dT%H:%MZ}{' end' * one.is_end}")
            handled = one.at
        now += timedelta(minutes=1)
    return found


def test_a_time_comes_once_a_day_also_where_the_clocks_leave_it_out_or_repeat_it():
    spring = all_due(NIGHTLY, at("2026-03-28T01:00"), at("2026-03-30T05:00"))
    assert spring == ["28T01:30Z", "29T01:00Z", "30T00:30Z"]  # 2:30, 3:00 as there is no 2:30, 2:30
    autumn = all_due(NIGHTLY, at("2026-10-24T01:00"), at("2026-10-26T05:00"))
    assert autumn == ["24T00:30Z", "25T00:30Z", "26T01:30Z"]  # 2:30 comes twice on the 25th


def test_a_window_begins_and_ends_by_the_local_clock_on_both_sides_of_a_change():
    window = parse("every day 1:00-6:00")
    spring = all_due(window, at("2026-03-28T12:00"), at("2026-03-30T12:00"))
    assert spring == ["29T00:00Z", "29T04:00Z end", "29T23:00Z", "30T04:00Z end"]
    autumn = all_due(window, at("2026-10-24T12:00"), at("2026-10-26T12:00"))
    assert autumn == ["24T23:00Z", "25T05:00Z end", "26T00:00Z", "26T05:00Z end"]


@pytest.mark.parametrize("night", ["2026-03-28", "2026-10-24", "2026-06-06"])
def test_steps_of_minutes_go_on_over_a_change(night: str):
    begin = at(f"{night}T23:00")
    found = all_due(parse("every 30 minutes"), begin, (begin.astimezone(UTC) + timedelta(hours=6)))
    assert len(found) == 11


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-30T22:59:59", False),  # a Monday
        ("2026-11-30T23:00", True),
        ("2026-12-01T06:59:59", True),
        ("2026-12-01T07:00", False),
        ("2026-12-05T06:30", True),  # the night from Friday to Saturday
        ("2026-12-05T23:30", False),
        ("2026-12-06T23:30", False),
        ("2026-12-07T06:30", False),  # Monday morning: Sunday is no weekday
    ],
)
def test_a_window_over_midnight_is_open_in_the_nights_after_its_days(now: str, expected: bool):
    assert is_open(WEEKNIGHTS, at(now)) is expected


def test_what_has_no_end_is_never_open():
    assert not is_open(NIGHTLY, at("2026-12-01T02:30"))


@pytest.mark.parametrize(("late_s", "missed"), [(0, False), (PROMPT_S, False), (PROMPT_S + 1, True)])
def test_what_is_later_than_a_tick_or_two_was_missed(late_s: float, missed: bool):
    now = at("2026-12-01T02:30") + timedelta(seconds=late_s)
    found = due(NIGHTLY, at("2026-12-01T02:29"), now)
    assert found is not None
    assert (found.missed, found.at, found.is_end) == (missed, at("2026-12-01T02:30"), False)


def test_nothing_is_due_twice_or_early():
    handled = at("2026-12-01T02:30").astimezone(UTC)
    assert due(NIGHTLY, handled, at("2026-12-01T02:30:04")) is None
    assert due(NIGHTLY, handled, at("2026-12-02T02:29:59.900000")) is None
    assert due(NIGHTLY, handled, at("2026-12-02T02:30:00.100000")) is not None


def test_of_a_month_without_a_daemon_only_the_last_is_due():
    found = due(NIGHTLY, at("2026-11-01T00:00"), at("2026-12-01T00:00"))
    assert found is not None
    assert (found.at, found.missed) == (at("2026-11-30T02:30"), True)


@pytest.mark.parametrize(("now", "is_end"), [("2026-12-02T01:00", False), ("2026-12-02T12:00", True)])
def test_of_a_window_that_was_missed_the_last_edge_is_due(now: str, is_end: bool):
    found = due(WEEKNIGHTS, at("2026-11-20T00:00"), at(now))
    assert found is not None
    assert found.is_end is is_end


def test_the_next_time_is_the_begin_or_the_end_whichever_comes_first():
    assert following(WEEKNIGHTS, at("2026-12-01T12:00")) == at("2026-12-01T23:00")
    assert following(WEEKNIGHTS, at("2026-12-01T23:00")) == at("2026-12-02T07:00")
    assert following(NIGHTLY, at("2026-12-01T02:30")) == at("2026-12-02T02:30")
