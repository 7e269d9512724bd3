"""Which thread counts are tried, and when trying stops. Rates are measured in test_engine."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from launchers.command import Command
from launchers.llama_cpp import diagnose
from launchers.process.engine import EngineProcess
from launchers.readiness import Ready
from launchers.trials.thread_counts import Serve, candidate_counts, measure


@pytest.mark.parametrize(
    ("usable", "quota", "performance", "tries"),
    [
        pytest.param(2, None, 2, (1, 2), id="two shared cores"),
        pytest.param(1, None, 1, (1,), id="one core"),
        pytest.param(16, None, 8, (7, 8, 4, 16), id="eight cores with two threads each"),
        pytest.param(20, None, 8, (7, 8, 4, 20), id="performance and efficiency cores"),
        pytest.param(16, 1.5, 8, (1,), id="a quota of one and a half CPUs"),
        pytest.param(16, 4.0, 8, (3, 4, 2), id="a quota of four CPUs"),
        pytest.param(4, None, None, (3, 4, 2), id="cores unknown"),
        pytest.param(None, None, None, (1,), id="nothing known"),
        pytest.param(3, None, 8, (2, 3, 1), id="bound to three CPUs"),
    ],
)
def test_the_obvious_count_and_one_less_are_always_tried(
    usable: int | None, quota: float | None, performance: int | None, tries: tuple[int, ...]
) -> None:
    assert candidate_counts(usable, quota, performance) == tries


class Timed(EngineProcess):
    """An engine of a known speed: its process is not started, what is tried is the order of trying."""

    def __init__(self, rate: float | None) -> None:
        super().__init__(Command((), 0, "timed"), log_path=Path("none"), diagnose=diagnose)
        self.rate = rate
        self.ready = Ready("Paris", rate)
        self.measured = 0
        self.ended = False

    async def measure(self, tokens: int) -> float | None:
        self.measured += 1
        return None if self.rate is None else self.rate * 1.1


def serving(made: Mapping[int, Timed]) -> Serve:
    @asynccontextmanager
    async def serve(count: int) -> AsyncIterator[Timed]:
        yield made[count]
        made[count].ended = True

    return serve


@pytest.mark.parametrize(
    ("speeds", "tried"),
    [
        pytest.param({7: 44, 8: 40, 4: 30, 16: 10}, [7, 8, 4, 16], id="all, while none is far slower"),
        pytest.param({7: 142, 8: 17, 4: 80, 16: 9}, [7, 8, 4], id="not more than too many"),
        pytest.param({7: 44, 8: 48, 4: 20, 2: 9, 16: 50}, [7, 8, 4, 16], id="not fewer than too few"),
        pytest.param({7: 44, 8: None, 4: 40, 16: 38}, [7, 4, 16], id="unknown is no rate"),
    ],
)
async def test_what_can_only_be_slower_is_left_out(speeds: dict[int, float | None], tried: list[int]) -> None:
    made = {count: Timed(rate) for count, rate in speeds.items()}
    rates = await measure(serving(made), list(speeds))
    assert list(rates) == tried
    assert all(made[count].ended for count in tried)


async def test_a_count_that_is_far_slower_is_not_measured_twice() -> None:
    made = {1: Timed(90.0), 2: Timed(9.0)}
    rates = await measure(serving(made), [1, 2])
    assert (made[1].measured, made[2].measured) == (2, 0)
    assert rates == {1: 90.0, 2: 9.0}


async def test_a_spent_budget_ends_the_trial_after_the_first_count() -> None:
    rates = await measure(serving({4: Timed(40.0)}), [4, 3, 2], budget_s=0.0)
    assert list(rates) == [4]
