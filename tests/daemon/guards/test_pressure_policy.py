"""When a model has to give way to a shortage of memory, and when it returns, to the second."""

import pytest

from daemon.guards import pressure_policy as policy
from daemon.guards.pressure_policy import CALM_S, LONGEST_CALM_S, SETTLE_S, TIGHT_S, Memory, Pressure

RAM = 1000
FINE, TIGHT, LAST = Memory(500, RAM, 0.0), Memory(29, RAM, 0.0), Memory(14, RAM, 0.0)


def after(*samples: tuple[float, Memory], pressure: Pressure | None = None) -> Pressure:
    pressure = pressure or Pressure()
    for at_s, memory in samples:
        pressure = policy.after_sample(pressure, memory, at_s)
    return pressure


@pytest.mark.parametrize(
    ("memory", "tight", "calm"),
    [
        (Memory(30, RAM), False, False),
        (Memory(29, RAM), True, False),
        (Memory(500, RAM, 0.10), True, False),
        (Memory(500, RAM, 0.09), False, False),
        (Memory(80, RAM, 0.02), False, True),
        (Memory(79, RAM, 0.0), False, False),
        (Memory(500, RAM, 0.03), False, False),
        (Memory(500, RAM, None), False, True),
        (Memory(0, 0), False, True),
    ],
)
def test_what_is_short_of_memory_and_what_has_enough(memory: Memory, tight: bool, calm: bool) -> None:
    assert (memory.is_tight, memory.is_calm) == (tight, calm)


def test_a_shortage_that_lasts_makes_a_model_give_way() -> None:
    assert not policy.must_give_way(after((0, FINE)), FINE, 99)
    short = after((0, TIGHT), (5, TIGHT))
    assert [policy.must_give_way(short, TIGHT, at_s) for at_s in (TIGHT_S - 0.1, TIGHT_S)] == [False, True]
    assert not policy.must_give_way(after((0, TIGHT), (5, FINE), (7, TIGHT)), TIGHT, TIGHT_S)


def test_nothing_is_waited_for_before_a_freeze() -> None:
    assert policy.must_give_way(after((0, LAST)), LAST, 0)
    assert not policy.must_give_way(after((0, TIGHT)), Memory(15, RAM), 0)


def test_what_was_given_back_has_time_to_show() -> None:
    given = policy.after_giving(after((0, LAST)), 10)
    short = after((11, LAST), pressure=given)
    found = [policy.must_give_way(short, LAST, at_s) for at_s in (9 + SETTLE_S, 10 + SETTLE_S)]
    assert found == [False, True]


def test_a_model_returns_after_a_calm_while_if_enough_is_left_with_it() -> None:
    given = policy.after_giving(Pressure(), 0)
    calm = after((100, FINE), (150, FINE), pressure=given)
    assert [policy.may_return(calm, FINE, 420, at_s) for at_s in (99 + CALM_S, 100 + CALM_S)] == [False, True]
    assert not policy.may_return(calm, FINE, 421, 9999)
    assert not policy.may_return(after((100, FINE), (150, TIGHT), pressure=given), FINE, 0, 9999)


def test_the_next_one_returns_a_while_later() -> None:
    returned = policy.after_return(after((100, FINE)), 400)
    assert returned.calm_s is None
    calm = after((401, FINE), pressure=returned)
    assert not policy.may_return(calm, FINE, 0, 400 + CALM_S)
    assert policy.may_return(calm, FINE, 0, 401 + CALM_S)


def test_a_return_in_vain_makes_the_next_one_later_up_to_an_hour() -> None:
    for given, wait_s in ((1, CALM_S), (2, 2 * CALM_S), (3, 4 * CALM_S), (30, LONGEST_CALM_S)):
        calm = after((0, FINE), pressure=Pressure(given=given, acted_s=-1))
        found = [policy.may_return(calm, FINE, 0, at_s) for at_s in (wait_s - 0.1, wait_s)]
        assert found == [False, True]


def test_after_a_long_while_it_is_as_if_nothing_had_been() -> None:
    given = policy.after_giving(policy.after_giving(Pressure(), 0), 10)
    assert given.given == 2
    assert after((10 + LONGEST_CALM_S, FINE), pressure=given).given == 2
    assert after((11 + LONGEST_CALM_S, FINE), pressure=given).given == 0
