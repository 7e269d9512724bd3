"""When an engine is taken for hung: looks and times of the test in, verdicts out."""

from dataclasses import replace
from math import inf

import pytest

from daemon.launches.health import policy
from daemon.launches.health.policy import Canary, Health, Limits
from launchers.liveness import Activity, Look
from launchers.process.procfs import Work

LIMITS = Limits(
    idle_s=10, busy_s=2.5, stall_s=10, canary_s=30, rest_s=300, answer_s=900, batch_s=4.0, on_gpu=True
)
IDLE = Look(True, False, Activity(0, ("decoded 7",)), Work(1.0, 0, stopped=False), 0)
STUCK = replace(IDLE, activity=Activity(3, ("decoded 7",)))
SILENT = replace(IDLE, answers=False, silent=True, activity=None)
LONG_BATCH = replace(IDLE, silent=True, activity=None)
STOPPED = replace(SILENT, work=Work(1.0, 0, stopped=True))
Shown = list[tuple[float, Look]]


def moved(count: int, *, requests: int = 1) -> Look:
    return replace(IDLE, activity=Activity(requests, (f"decoded {count}",)))


def working(look: Look, cpu_s: float) -> Look:
    return replace(look, work=Work(cpu_s, 0, stopped=False))


def started(look: Look = IDLE, at_s: float = 0.0) -> Health:
    return Health.first(look, at_s, Canary(at_s, at_s))


def after(shown: Shown, limits: Limits = LIMITS, first: Look = IDLE) -> Health:
    health = started(first)
    for at_s, look in shown:
        health = policy.after_look(health, look, at_s, limits)
    return health


def found_after_s(look: Look, first: Look) -> float | None:
    """In how many seconds an engine that shows ``look`` from 0 s on is found; looks wait 2 s for answers."""
    health, limits, look_s = started(first), LIMITS, 0.1 if look.answers else 2.0
    for _ in range(400):
        at_s = health.at_s + health.next_look_s(limits) + look_s
        health = policy.after_look(health, look, at_s, limits)
        if health.hung is not None:
            return at_s
    return None


@pytest.mark.parametrize(
    ("look", "first", "within_s"),
    [
        pytest.param(STOPPED, IDLE, 60, id="stopped while idle"),
        pytest.param(STOPPED, moved(1), 20, id="stopped under load"),
        pytest.param(SILENT, IDLE, 60, id="silent while idle"),
        pytest.param(SILENT, moved(1), 20, id="silent under load"),
        pytest.param(STUCK, moved(1), 20, id="answers, completes nothing"),
    ],
)
def test_a_hung_engine_is_found_in_time_and_not_too_early(look: Look, first: Look, within_s: float) -> None:
    found_s = found_after_s(look, first)
    assert found_s is not None
    assert LIMITS.stall_s <= found_s < within_s


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (STOPPED, "its processes are stopped (SIGSTOP), for 20 s"),
        (SILENT, "it answers nothing and does nothing, for 20 s"),
        (STUCK, "3 requests are open, and no token came for 20 s"),
        (LONG_BATCH, "some requests are open, and no token came for 20 s"),
    ],
)
def test_a_verdict_says_what_was_seen(look: Look, words: str) -> None:
    assert after([(10, look), (20, look)]).hung == words


def test_an_engine_that_nobody_asks_is_well_for_ever() -> None:
    assert found_after_s(IDLE, IDLE) is None


def test_one_look_without_an_answer_is_no_verdict() -> None:
    once = after([(10, IDLE), (35, SILENT)])
    assert (once.failures, once.hung) == (1, None)
    assert after([(10, IDLE), (35, SILENT), (36, IDLE)]) == replace(after([(36, IDLE)]), client_s=35)


def test_two_looks_that_follow_at_once_count_as_one() -> None:
    assert after([(20, SILENT), (24.9, SILENT)]).hung is None
    assert after([(20, SILENT), (25, SILENT)]).hung is not None
    assert after([(20, SILENT), (21, SILENT), (22, SILENT), (25, SILENT)]).hung is not None


def test_tokens_that_move_are_a_proof_even_where_looks_between_got_no_answer() -> None:
    shown: Shown = [(10.0 * n, moved(n // 2) if n % 2 else LONG_BATCH) for n in range(1, 40)]
    assert after(shown, replace(LIMITS, batch_s=60.0)).hung is None
    seen = after([(10, LONG_BATCH), (20, moved(8))])
    assert (seen.well_s, seen.failures, seen.hung) == (20, 0, None)


@pytest.mark.parametrize(
    ("limits", "patience_s"),
    [
        pytest.param(LIMITS, 10, id="a short batch"),
        pytest.param(replace(LIMITS, batch_s=40.0), 60, id="a GPU computes a long batch without the CPU"),
        pytest.param(replace(LIMITS, batch_s=40.0, on_gpu=False), 10, id="a CPU doesn't"),
        pytest.param(replace(LIMITS, batch_s=None), 10, id="a batch of unknown length"),
        pytest.param(replace(LIMITS, has_projector=True), 60, id="a GPU encodes an image"),
        pytest.param(replace(LIMITS, has_projector=True, on_gpu=False), 10, id="a CPU would work"),
    ],
)
def test_the_patience_with_one_that_does_not_work(limits: Limits, patience_s: float) -> None:
    assert limits.patience_s(STUCK, works=False) == patience_s
    assert limits.patience_s(STOPPED, works=False) == limits.stall_s


@pytest.mark.parametrize(
    ("limits", "patience_s"),
    [
        pytest.param(LIMITS, 60, id="least"),
        pytest.param(replace(LIMITS, batch_s=40.0), 400, id="prompts are slower at depth"),
        pytest.param(replace(LIMITS, batch_s=None), 300, id="not known"),
        pytest.param(replace(LIMITS, has_projector=True), 600, id="an image"),
        pytest.param(replace(LIMITS, stall_s=900), 900, id="the owner's"),
    ],
)
def test_the_patience_with_one_that_works(limits: Limits, patience_s: float) -> None:
    assert limits.patience_s(STUCK, works=True) == patience_s


def test_one_that_works_and_answers_nobody_has_clients_on_all_its_connections() -> None:
    shown: Shown = [(10.0 * n, working(SILENT, 5.0 * n)) for n in range(1, 400)]
    health = after(shown)
    assert (health.hung, health.failures) == (None, 0)
    assert LIMITS.patience_s(SILENT, works=True) is None


def test_one_that_computes_without_a_token_is_given_its_time() -> None:
    shown: Shown = [(10.0 * n, working(LONG_BATCH, 5.0 * n)) for n in range(1, 20)]
    assert after(shown[:5]).hung is None
    assert after(shown[:7]).hung is not None


def test_what_was_not_looked_at_is_no_verdict() -> None:
    """The daemon, or the machine, slept."""
    limits = replace(LIMITS, idle_s=2.0)
    asleep = after([(10, STUCK), (61, STUCK), (62, STUCK)], limits)
    assert (asleep.hung, asleep.well_s) == (None, 61)
    assert after([(10, STUCK), (60, STUCK)], limits).hung is not None
    assert after([(10, STUCK), (61, STUCK)], replace(LIMITS, idle_s=20.0)).hung is not None


def test_pauses_between_looks() -> None:
    assert started().next_look_s(LIMITS) == 10
    assert started(STUCK).next_look_s(LIMITS) == 2.5
    assert after([(10, SILENT)]).next_look_s(LIMITS) == 1.25


def test_a_canary_is_due_after_its_interval_and_never_near_a_client() -> None:
    assert policy.canary_due_s(started(), 0.0, LIMITS) == 30
    assert policy.canary_due_s(after([(25, IDLE)]), 25.0, LIMITS) == 5
    assert policy.canary_due_s(after([(35, IDLE)]), 35.0, LIMITS) == 0
    assert policy.canary_due_s(after([(20, moved(8, requests=0))]), 20.0, LIMITS) == 300
    assert policy.canary_due_s(after([(20, STUCK), (22, IDLE)]), 22.0, LIMITS) == 298


def test_after_a_suspend_it_is_due_at_once_and_in_full_but_not_near_a_client() -> None:
    woken = policy.with_canary_due(started())
    assert policy.canary_due_s(woken, 1.0, LIMITS) == 0
    assert policy.asks_answer(woken, 1.0, LIMITS, suspicious=False)
    used = policy.with_canary_due(after([(20, moved(8, requests=0))]))
    assert policy.canary_due_s(used, 20.0, LIMITS) == 300


@pytest.mark.parametrize("look", [STUCK, SILENT, LONG_BATCH, replace(IDLE, answers=False)])
def test_a_busy_engine_gets_no_canary(look: Look) -> None:
    assert policy.canary_due_s(started(look), 1000.0, LIMITS) is None


def test_canaries_can_be_declined_and_wait_for_looks_that_failed() -> None:
    assert policy.canary_due_s(started(), 1000.0, replace(LIMITS, canary_s=0)) is None
    assert policy.canary_due_s(replace(started(), failures=1), 1000.0, LIMITS) is None


def test_a_canary_that_failed_is_repeated_soon_and_in_full() -> None:
    failed = policy.after_canary(started(), 30.0, is_answer=False, passed=False)
    assert failed.canary == Canary(30.0, 0.0, failures=1)
    assert policy.canary_due_s(failed, 30.0, LIMITS) == 2.5
    assert policy.asks_answer(failed, 30.0, LIMITS, suspicious=False)
    again = policy.after_canary(failed, 33.0, is_answer=True, passed=False)
    assert again.canary.failures == policy.FAILURES == 2
    assert policy.after_canary(failed, 33.0, is_answer=True, passed=True).canary == Canary(33.0, 33.0)


def test_the_known_question_is_asked_at_its_own_interval() -> None:
    assert not policy.asks_answer(started(), 899.0, LIMITS, suspicious=False)
    assert policy.asks_answer(started(), 900.0, LIMITS, suspicious=False)
    assert not policy.asks_answer(started(), 179.0, LIMITS, suspicious=True)
    assert policy.asks_answer(started(), 180.0, LIMITS, suspicious=True), "a slow one more often"
    assert policy.asks_answer(Health.first(IDLE, 0.0, Canary(0.0, -inf)), 1.0, LIMITS, suspicious=False)
    touched = policy.after_canary(started(), 30.0, is_answer=False, passed=True)
    assert touched.canary == Canary(30.0, 0.0)


def test_the_last_sign_of_a_client() -> None:
    assert started().client_s == -inf
    assert started(STUCK).client_s == 0
    assert after([(10, IDLE)]).client_s == -inf
    assert after([(10, moved(8, requests=0)), (20, moved(8, requests=0))]).client_s == 10


def test_a_canary_has_time_while_tokens_move_or_pages_come_from_a_disk() -> None:
    reading = replace(IDLE, work=Work(1.0, 9, stopped=False))
    assert not policy.progressed(started(), started())
    assert policy.progressed(started(), started(moved(8)))
    assert policy.progressed(started(), started(reading))
    assert not policy.progressed(started(reading), started(reading))
    assert not policy.progressed(started(), started(working(IDLE, 60.0))), "a loop computes, too"
