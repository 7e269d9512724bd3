"""When an on-demand model stops: pure, with times as arguments."""

from math import inf

from daemon.launches.demand.use import Use, is_pinned, stops_in_s
from domain.launches.serving import Policy, Serving

ON_DEMAND = Serving(Policy.ON_DEMAND)
USUAL_S = 1800.0


def used(at_s: float, **changed: float) -> Use:
    use = Use()
    use.loaded(at_s)
    for name, value in changed.items():
        setattr(use, name, value)
    return use


def test_it_stops_after_its_own_time_or_the_usual_one() -> None:
    assert stops_in_s(ON_DEMAND, used(100.0), 400.0, USUAL_S) == 1500
    assert stops_in_s(Serving(Policy.ON_DEMAND, idle_s=60), used(100.0), 110.0, USUAL_S) == 50
    assert stops_in_s(Serving(Policy.ON_DEMAND, idle_s=60), used(100.0), 400.0, USUAL_S) == 0


def test_a_client_says_how_long_it_is_kept() -> None:
    assert stops_in_s(ON_DEMAND, used(100.0, keep_s=10.0), 105.0, USUAL_S) == 5
    assert stops_in_s(ON_DEMAND, used(100.0, keep_s=0.0), 100.0, USUAL_S) == 0
    forever = used(100.0, keep_s=inf)
    assert is_pinned(ON_DEMAND, forever)
    assert stops_in_s(ON_DEMAND, forever, 1e9, USUAL_S) is None


def test_what_is_pinned_or_not_on_demand_does_not_stop() -> None:
    assert stops_in_s(Serving(Policy.ON_DEMAND, pinned=True), used(0.0), 1e9, USUAL_S) is None
    assert not is_pinned(ON_DEMAND, used(0.0))
    for policy in (Policy.ALWAYS, Policy.NEVER):
        assert stops_in_s(Serving(policy), used(0.0), 1e9, USUAL_S) is None


def test_it_is_not_idle_while_a_request_is_open_and_is_idle_from_the_end_of_the_last_one() -> None:
    use = used(100.0)
    use.begin(200.0)
    use.begin(210.0)
    use.end(300.0)
    assert (use.idle_s(900.0), stops_in_s(ON_DEMAND, use, 9000.0, USUAL_S)) == (0, USUAL_S)
    use.end(310.0)
    assert use.idle_s(400.0) == 90
    assert use.idle_s(300.0) == 0  # no clock goes back, and nothing is idle for less than nothing
    use.begin(500.0)
    assert use.last_s == 500


def test_what_its_engine_computes_for_others_is_use_too() -> None:
    assert used(100.0, engine_s=150.0).idle_s(160.0) == 10
    assert used(100.0, engine_s=50.0).idle_s(160.0) == 60


def test_a_new_start_forgets_what_was_asked_of_the_last_one() -> None:
    use = used(0.0, keep_s=5.0, failed_s=3.0)
    use.loaded(10.0)
    assert (use.keep_s, use.failed_s, use.idle_s(11.0)) == (None, None, 1)
