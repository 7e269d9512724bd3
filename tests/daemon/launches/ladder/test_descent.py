"""A launch whose engine runs out of memory ends a step down, stays there, and climbs back."""

import time
from typing import Any

import pytest

from daemon.launches.ladder import climb as climbing
from daemon.launches.ladder import policy
from daemon.launches.ladder.policy import Rung
from daemon.launches.start import placement
from domain.errors import DoesNotFitError
from domain.launches.launch import LaunchState
from domain.launches.restraint import UNRESTRAINED, Restraint
from tests.daemon.launches.stepped_daemon import Daemon, Start
from tests.daemon.launches.world import World


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, start: Start) -> list[Restraint]:
    """What each plan was held to. Once it is told to, none with a restraint fits."""
    seen: list[Restraint] = []
    plan: Any = placement.checked_plan

    async def noted(*args: Any) -> Any:
        seen.append(args[-1])
        return await plan(*args)

    monkeypatch.setattr(placement, "checked_plan", noted)
    return seen


def run_out(daemon: Daemon, world: World, *, times: int = 1) -> None:
    """Its engine is killed for memory while it serves, and so are the next ones before they serve."""
    world.dies_of, restarts = "oom_killed", daemon.launch.attempts.restarts
    world.starts = "oom" if times > 1 else "answer"
    daemon.kill_engine()
    daemon.until(lambda: daemon.launch.attempts.restarts == restarts + times)
    world.starts = "answer"
    daemon.until_state(LaunchState.READY)
    daemon.until(lambda: daemon.launch.progress.ended)


def test_each_time_that_memory_runs_out_costs_one_step_and_is_told(
    start: Start, world: World, asked: list[Restraint]
) -> None:
    daemon = start()
    daemon.serve()
    assert asked == [UNRESTRAINED]
    run_out(daemon, world, times=2)
    assert [step.rung for step in daemon.launch.ladder.steps] == [Rung.MARGIN, Rung.UBATCH]
    assert asked[1:] == [step.restraint for step in daemon.launch.ladder.steps]
    reduced = [event.message for event in daemon.events if event.kind == "reduced"]
    assert len(reduced) == 2
    assert "planned again with a larger margin" in reduced[0]
    assert "memory ran out" in (daemon.launch.row().reduced or "")


def test_other_ends_cost_nothing(start: Start, world: World, asked: list[Restraint]) -> None:
    daemon = start()
    daemon.serve()
    daemon.kill_engine()
    daemon.until(lambda: daemon.launch.attempts.restarts == 1)
    daemon.until_state(LaunchState.READY)
    assert daemon.launch.ladder.steps == ()
    assert daemon.launch.row().reduced is None


def test_the_step_that_worked_is_kept_over_a_restart(
    start: Start, world: World, asked: list[Restraint]
) -> None:
    first = start()
    first.serve()
    run_out(first, world)
    restraint, words = first.launch.ladder.restraint, first.launch.row().reduced
    first.end()
    for engine in world.living:
        engine.alive = False
    second = start()
    second.until_state(LaunchState.READY)
    assert second.launch.ladder.restraint == restraint
    assert second.launch.row().reduced == words
    assert asked[-1] == restraint


def test_it_climbs_back_at_night_and_takes_the_step_again_if_it_must(
    start: Start, world: World, asked: list[Restraint], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start()
    daemon.serve()
    run_out(daemon, world)
    daemon.call(climbing.climb(daemon.app))
    assert len(daemon.launch.ladder.steps) == 1, "it has not been there for long"
    later_s = time.time() + policy.CLIMB_S
    monkeypatch.setattr(climbing.time, "time", lambda: later_s)
    daemon.call(climbing.climb(daemon.app))
    daemon.until(lambda: len(asked) == 3)
    daemon.until_state(LaunchState.READY)
    assert asked[-1] == UNRESTRAINED
    assert daemon.launch.row().reduced is None
    assert "climbing" in daemon.kinds()
    run_out(daemon, world)
    assert [step.rung for step in daemon.launch.ladder.steps] == [Rung.MARGIN]
    assert daemon.launch.ladder.climbs == 1


def test_where_no_plan_fits_more_is_given_up_and_at_the_end_it_is_as_asked_for(
    start: Start, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start()
    daemon.serve()
    plan: Any = placement.checked_plan

    async def none_fits(*args: Any) -> Any:
        if args[-1] != UNRESTRAINED:
            raise DoesNotFitError("a", needs_bytes=2, has_bytes=1)
        return await plan(*args)

    monkeypatch.setattr(placement, "checked_plan", none_fits)
    world.dies_of = "oom_killed"
    daemon.kill_engine()
    daemon.until(lambda: "ladder_ended" in daemon.kinds())
    daemon.until_state(LaunchState.READY)
    assert daemon.launch.row().reduced is None
