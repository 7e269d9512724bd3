"""Which events a target is sent, and when: levels, ends of what it was told, rates, quiet hours, digests."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from daemon.notifications import policy
from daemon.notifications.policy import BURST, FAILS_LONG, LATEST, TOLD_MAX, Pace, Pending, Told
from daemon.schedules.words import parse
from daemon.state.records import Event
from domain.events import ENDS, NEVER_NOTIFIED, REMEDIES, EventKind, Level
from domain.notifications import Target
from tests.daemon.notifications.build import NOON, event, pending, target

DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")


def sent(wanting: Target, *events: Event, told: Told | None = None) -> list[str]:
    """The kinds of those that ``wanting`` is sent."""
    told, kinds = {} if told is None else told, []
    for one in events:
        if policy.wants(wanting, one, told):
            policy.remember(one, told)
            kinds.append(str(one.kind))
    return kinds


@pytest.mark.parametrize(
    ("wanting", "kinds"),
    [
        pytest.param(target(Level.ERROR), ["failed"], id="errors"),
        pytest.param(target(), ["died", "failed"], id="warnings"),
        pytest.param(target(Level.INFO), ["died", "failed", "proven"], id="all"),
        pytest.param(target(None, kinds=frozenset({"proven"})), ["proven"], id="only a kind"),
        pytest.param(target(Level.ERROR, kinds=frozenset({"proven"})), ["failed", "proven"], id="and a kind"),
    ],
)
def test_a_target_is_sent_its_levels_and_kinds(wanting: Target, kinds: list[str]) -> None:
    happened = (EventKind.DIED, EventKind.FAILED, EventKind.PROVEN)
    assert sent(wanting, *map(event, happened)) == kinds


def test_who_was_told_of_a_death_is_told_that_all_is_well_once() -> None:
    died, restarted, ready = (
        event(kind, launch="coder") for kind in (EventKind.DIED, EventKind.RESTARTED, EventKind.READY)
    )
    assert sent(target(), died, restarted, ready, restarted, ready) == ["died", "restarted", "ready"]
    assert sent(target(Level.ERROR), died, restarted, ready) == []


def test_another_launch_that_is_ready_ends_nothing() -> None:
    died = event(EventKind.DIED, launch="coder")
    assert sent(target(), died, event(EventKind.READY, launch="writer")) == ["died"]


def test_each_of_two_hot_devices_is_told_to_be_cool() -> None:
    hot, cooler, cool = map(event, (EventKind.HOT, EventKind.COOLER, EventKind.COOL))
    assert sent(target(), hot, hot, cooler, cool, cool, cool) == ["hot", "hot", "cooler", "cool", "cool"]


def test_an_end_without_the_name_of_a_launch_ends_what_had_one() -> None:
    kept = event(EventKind.MEMORY_KEPT, launch="coder")
    assert sent(target(), kept, event(EventKind.MEMORY_BACK)) == ["memory_kept", "memory_back"]


def test_what_is_done_about_a_warning_has_a_warning_that_it_is_for() -> None:
    assert ENDS.keys() >= REMEDIES - NEVER_NOTIFIED
    assert all(kind.level is not Level.INFO for kinds in ENDS.values() for kind in kinds)
    assert all(EventKind(kind).level is Level.INFO for kind in ENDS)


def test_that_notifications_fail_is_never_a_notification() -> None:
    assert sent(target(Level.INFO, kinds=frozenset(NEVER_NOTIFIED)), *map(event, NEVER_NOTIFIED)) == []


def test_what_was_told_stays_bounded() -> None:
    told: Told = {}
    sent(target(), *(event(EventKind.DIED, launch=f"m{number}") for number in range(3 * TOLD_MAX)), told=told)
    assert len(told) == TOLD_MAX
    assert ("died", f"m{3 * TOLD_MAX - 1}") in told


def test_a_storm_is_counted_and_only_its_end_is_kept() -> None:
    storm = [event(EventKind.DIED, number=number) for number in range(500)]
    found = pending(*storm).followed_by(pending(event(EventKind.FAILED, number=500)))
    assert (found.total, found.kinds["died"], found.kinds["failed"]) == (501, 500, 1)
    assert [one.id for one in found.latest] == list(range(501 - LATEST, 501))


def due(wanting: Target, waiting: Pending, pace: Pace, now: datetime, digested: datetime = NOON) -> bool:
    return policy.is_due(wanting, waiting, pace, digested, now)


def test_messages_are_limited_and_the_limit_fills_again() -> None:
    pace, waiting = Pace(), pending(event(EventKind.DIED))
    for _ in range(BURST):
        assert due(target(), waiting, pace, NOON)
        pace.sent(NOON)
    assert not due(target(), waiting, pace, NOON + timedelta(minutes=4))
    assert due(target(), waiting, pace, NOON + timedelta(minutes=6))
    pace.sent(NOON + timedelta(minutes=6))
    assert not due(target(), waiting, pace, NOON + timedelta(minutes=9))


def test_nothing_is_sent_where_nothing_happened() -> None:
    assert not due(target(), pending(), Pace(), NOON)


def test_a_failure_is_retried_later_and_later_and_told_once() -> None:
    pace, waiting, now, told, waits = Pace(), pending(event(EventKind.DIED)), NOON, [], []
    for _ in range(12):
        told += [now - NOON] if pace.failed(now) else []
        before = now
        while not due(target(), waiting, pace, now):
            now += timedelta(seconds=10)
        waits.append((now - before).total_seconds())
    assert waits[:4] == [30, 60, 120, 240]
    assert waits[-1] == 3600
    assert len(told) == 1
    assert told[0] >= FAILS_LONG
    pace.sent(now)
    assert (pace.failing_since, pace.is_told) == (None, False)


def test_a_clock_that_is_set_back_delays_no_message() -> None:
    pace, waiting = Pace(), pending(event(EventKind.DIED))
    for _ in range(20):
        pace.failed(NOON)
    assert due(target(), waiting, pace, NOON - 100 * DAY)
    pace.sent(NOON - 100 * DAY)
    assert due(target(), waiting, pace, NOON - 100 * DAY)


def test_in_quiet_hours_events_wait() -> None:
    wanting, waiting = target(quiet=parse("22:00-7:00")), pending(event(EventKind.DIED))
    assert not due(wanting, waiting, Pace(), NOON.replace(hour=23))
    assert not due(wanting, waiting, Pace(), NOON.replace(hour=6, minute=59))
    assert due(wanting, waiting, Pace(), NOON.replace(hour=7, minute=1))


@pytest.mark.parametrize(
    ("day", "first_utc"),
    [
        pytest.param(
            datetime(2026, 3, 28, 12, tzinfo=BERLIN),
            "2026-03-29T01:00:00+00:00",
            id="left out in spring",
        ),
        pytest.param(
            datetime(2026, 10, 24, 12, tzinfo=BERLIN),
            "2026-10-25T00:30:00+00:00",
            id="twice in autumn",
        ),
    ],
)
def test_a_digest_comes_once_a_day_over_changes_of_the_clocks(day: datetime, first_utc: str) -> None:
    wanting = target(digest=parse("2:30"))
    now = digested = day.astimezone(UTC)
    sent_at = []
    for _ in range(2 * 24 * 12):
        now += timedelta(minutes=5)
        if due(wanting, pending(), Pace(), now.astimezone(BERLIN), digested):
            digested = policy.digest_due(wanting, digested, now.astimezone(BERLIN))
            sent_at.append(digested.isoformat())
    assert len(sent_at) == 2
    assert sent_at[0] == first_utc


def test_a_digest_waits_for_its_hour_whatever_happens() -> None:
    wanting, waiting = target(digest=parse("8:00")), pending(event(EventKind.FAILED))
    assert not due(wanting, waiting, Pace(), NOON + timedelta(hours=6))
    assert due(wanting, waiting, Pace(), NOON + timedelta(hours=20))
    assert due(wanting, pending(), Pace(messages=0.0), NOON + timedelta(hours=20))


def test_a_digest_that_failed_is_retried_later() -> None:
    pace, at = Pace(), NOON + timedelta(hours=20)
    pace.failed(at)
    wanting = target(digest=parse("8:00"))
    assert not due(wanting, pending(), pace, at + timedelta(seconds=20))
    assert due(wanting, pending(), pace, at + timedelta(seconds=40))


def test_a_digest_of_a_future_is_of_a_clock_that_was_wrong() -> None:
    assert policy.is_of_future(NOON + 1000 * DAY, NOON)
    assert not policy.is_of_future(NOON, NOON)
