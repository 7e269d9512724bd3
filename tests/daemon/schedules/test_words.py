"""Words of owners, and the times that they mean."""

import pytest

from daemon.schedules.words import parse
from domain.errors import UsageError
from domain.launches.schedule import When


@pytest.mark.parametrize(
    ("words", "cron"),
    [
        ("30 2 * * *", "30 2 * * *"),
        (" 0  5 1 * 1-5 ", "0 5 1 * 1-5"),
        ("*/15 8-18 * * MON-FRI", "*/15 8-18 * * MON-FRI"),
        ("every night at 2:30", "30 2 * * *"),
        ("Every Night At 02:30", "30 2 * * *"),
        ("daily 2:30", "30 2 * * *"),
        ("2:30", "30 2 * * *"),
        ("at 2:30 pm", "30 14 * * *"),
        ("at 2pm", "0 14 * * *"),
        ("every day at noon", "0 12 * * *"),
        ("every day at 12am", "0 0 * * *"),
        ("weekends at midnight", "0 0 * * 0,6"),
        ("weekdays at 7:05", "5 7 * * 1,2,3,4,5"),
        ("mondays at 4:00", "0 4 * * 1"),
        ("every monday and thu at 4:00", "0 4 * * 1,4"),
        ("on tues, wed, sun at 4:00", "0 4 * * 0,2,3"),
        ("mon-fri at 8am", "0 8 * * 1,2,3,4,5"),
        ("friday to monday at 8:00", "0 8 * * 0,1,5,6"),
        ("on the 15th of every month at 3:00", "0 3 15 * *"),
        ("every month at 3:00", "0 3 1 * *"),
        ("every hour", "0 * * * *"),
        ("hourly", "0 * * * *"),
        ("every 6 hours", "0 */6 * * *"),
        ("every minute", "* * * * *"),
        ("every 15 minutes", "*/15 * * * *"),
    ],
)
def test_a_time(words: str, cron: str):
    assert parse(words) == When(cron)


@pytest.mark.parametrize(
    ("words", "begin", "end"),
    [
        ("9:00-17:30", "0 9 * * *", "30 17 * * *"),
        ("every day from 9:00 to 17:30", "0 9 * * *", "30 17 * * *"),
        ("between 9am and 5pm", "0 9 * * *", "0 17 * * *"),
        ("weekends 9:00 until 17:00", "0 9 * * 0,6", "0 17 * * 0,6"),
        ("every 2nd of the month 9:00-17:00", "0 9 2 * *", "0 17 2 * *"),
        ("1st of every month 9:00\N{EN DASH}17:00", "0 9 1 * *", "0 17 1 * *"),
    ],
)
def test_a_window_of_a_day(words: str, begin: str, end: str):
    assert parse(words.replace("every 2nd", "the 2nd")) == When(begin, end)


@pytest.mark.parametrize(
    ("words", "begin", "end"),
    [
        ("weekdays 23:00-07:00", "0 23 * * 1,2,3,4,5", "0 7 * * 2,3,4,5,6"),
        ("saturday 22:00-6:00", "0 22 * * 6", "0 6 * * 0"),
        ("every night 23:00-07:00", "0 23 * * *", "0 7 * * *"),
    ],
)
def test_a_window_over_midnight_ends_on_the_day_after(words: str, begin: str, end: str):
    assert parse(words) == When(begin, end)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("every night", "has no time of the day"),
        ("", "has no time of the day"),
        ("every night at 25:00", "25:00 is no time of the day"),
        ("every night at 2:60", "2:60 is no time of the day"),
        ("at 13pm", "13pm is no time of the day"),
        ("at 0am", "0am is no time of the day"),
        ("every blue moon at 2:30", "'blue' is no day"),
        ("mon-foo at 2:30", "'foo' is no day"),
        ("7:00-7:00", "begins and ends at the same time"),
        ("1st of every month 23:00-7:00", "goes over midnight"),
        ("every 7 hours", "7 does not divide 24"),
        ("every 0 minutes", "0 does not divide 60"),
        ("61 2 * * *", "bad minute"),
        ("0 0 30 2 *", "bad day"),
        ("32nd of every month at 3:00", "bad day"),
        ("0 0 0 * * *", "has no time of the day"),
    ],
)
def test_what_means_no_time_is_refused_with_examples(words: str, problem: str):
    with pytest.raises(UsageError) as refused:
        parse(words)
    assert problem in str(refused.value)
    assert refused.value.hint
