"""What a death of the daemon says about what was in flight."""

from dataclasses import replace

import pytest

from daemon.quarantine.verdict import MACHINE_DEATHS, after_death, reason
from daemon.state.records import Work, WorkKey, WorkKind

TINY = Work(WorkKey(WorkKind.LAUNCH, "tiny"), "planning tiny", "boot")
BIG = Work(WorkKey(WorkKind.LAUNCH, "big"), "starting the engine of big", "boot")


def died_again(work: Work, boot_id: str | None = "boot") -> Work:
    """``work``, begun once more alone, at another death."""
    (judged,) = after_death([replace(work, running=True)], boot_id)
    return judged


def test_one_death_makes_a_suspect_and_a_second_one_convicts() -> None:
    once = died_again(TINY)
    assert (once.is_suspect, once.poison, once.running) == (True, False, False)
    twice = died_again(once)
    assert twice.poison
    assert reason(twice) == "the daemon died twice while it was planning tiny"


def test_of_several_only_the_one_that_began_last_is_convicted() -> None:
    once = after_death([TINY, BIG], "boot")
    assert [(work.deaths, work.poison) for work in once] == [(1, False), (1, False)]
    twice = after_death([replace(work, running=True) for work in once], "boot")
    assert [(work.deaths, work.poison) for work in twice] == [(2, False), (2, True)]


def test_the_innocent_of_two_deaths_is_convicted_by_no_third_one_that_it_does_not_run_at() -> None:
    innocent = replace(TINY, running=False, deaths=2)
    judged, poison = after_death([innocent, replace(BIG, deaths=1)], "boot")
    assert judged == innocent
    assert poison.poison


def test_a_machine_that_goes_down_convicts_only_after_many_times() -> None:
    work = TINY
    for boot in range(MACHINE_DEATHS):
        assert not work.poison
        work = died_again(replace(work, boot_id=f"boot {boot}"), f"boot {boot + 1}")
    assert work.poison
    assert (work.deaths, work.reboots) == (0, MACHINE_DEATHS)
    assert reason(work) == "the machine went down 5 times without a shutdown while it was planning tiny"


@pytest.mark.parametrize(
    ("before", "now", "deaths", "reboots"),
    [
        pytest.param("one", "one", 1, 0, id="the same boot"),
        pytest.param("one", "two", 0, 1, id="another boot"),
        pytest.param(None, None, 1, 0, id="an unknown boot is equal to itself"),
        pytest.param("one", None, 0, 1, id="and to no other"),
    ],
)
def test_a_death_of_the_daemon_is_told_from_one_of_the_machine_by_the_boot(
    before: str | None, now: str | None, deaths: int, reboots: int
) -> None:
    judged = died_again(replace(TINY, boot_id=before), now)
    assert (judged.deaths, judged.reboots) == (deaths, reboots)


def test_a_first_reason_names_the_death_that_was() -> None:
    assert reason(replace(TINY, deaths=1)) == "the daemon died once while it was planning tiny"
    both = replace(TINY, deaths=1, reboots=MACHINE_DEATHS)
    assert reason(both).startswith("the machine went down 5 times")
    daemons = replace(TINY, deaths=2, reboots=1)
    assert reason(daemons) == "the daemon died twice while it was planning tiny"
