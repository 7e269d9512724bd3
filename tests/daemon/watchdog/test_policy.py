"""The watchdog is fed while all get on, and a suspend is told from a clock that was set."""

import pytest

from daemon.watchdog.policy import Clocks, Progress, stalled, suspended_s


@pytest.mark.parametrize(
    ("store_s", "looks_s", "why"),
    [
        pytest.param(1000.0, {}, None, id="all get on"),
        pytest.param(700.0, {"m": -800.0}, None, id="a slow disk and a long canary"),
        pytest.param(699.0, {}, "the store has not answered for 301 s", id="a store that hangs"),
        pytest.param(
            1000.0,
            {"a": 1000.0, "m": -801.0},
            "m was not looked at for 1801 s",
            id="a supervisor that hangs",
        ),
    ],
)
def test_what_stands_still_is_named(store_s: float, looks_s: dict[str, float], why: str | None) -> None:
    assert stalled(Progress(store_s, looks_s), 1000.0) == why


@pytest.mark.parametrize(
    ("now", "slept_s"),
    [
        (Clocks(160.0, 560.0), None),
        (Clocks(160.0, 561.0), None),
        (Clocks(160.0, 561.5), 1.5),
        (Clocks(160.0, 4160.0), 3600.0),
    ],
)
def test_a_suspend_is_what_only_one_of_two_clocks_counts(now: Clocks, slept_s: float | None) -> None:
    assert suspended_s(Clocks(100.0, 500.0), now) == slept_s
