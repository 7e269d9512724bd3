"""What a supervisor does when things go wrong, to the second: engines, loop and time are of the test."""

import pytest

from daemon.launches import service
from domain.errors import BusyError
from domain.launches.launch import LaunchState, Step
from tests.daemon.launches.stepped_daemon import START_S, Start
from tests.daemon.launches.world import World

Spawns = list[float]


def test_a_dying_engine_is_started_again_after_waits_that_double(
    start: Start, world: World, spawns: Spawns
) -> None:
    daemon = start()
    daemon.serve()
    world.starts = "die"
    died_s = daemon.loop.now_s
    daemon.kill_engine()
    daemon.until(lambda: len(spawns) == 7)
    waits = [later - earlier for earlier, later in zip([died_s, *spawns[1:]], spawns[1:], strict=False)]
    for wait_s, least_s in zip(waits, (1, 2, 4, 8, 8, 8), strict=True):
        assert least_s <= wait_s <= least_s + START_S
    world.starts = "answer"
    daemon.until_state(LaunchState.READY)
    assert daemon.launch.attempts.restarts == len(spawns) - 1
    assert daemon.launch.attempts.last_error is None


def test_a_launch_between_tries_tells_its_state_its_error_and_when_it_tries_again(
    start: Start, world: World, spawns: Spawns
) -> None:
    daemon = start(restart_loop=3)
    daemon.serve()
    world.starts = "die"
    daemon.kill_engine()
    states = []
    for failures in (1, 2, 3, 4):
        daemon.until(lambda n=failures: daemon.launch.attempts.restarts == n and daemon.loop.is_idle)  # type: ignore[misc]
        states.append(daemon.launch.state)
        assert daemon.launch.lifecycle.desired
        assert daemon.launch.engine is None
        assert daemon.app.ledger.reserved == {}
    assert states == [LaunchState.DEGRADED] * 2 + [LaunchState.FAILED] * 2
    messages = [event.message for event in daemon.events if event.kind in ("died", "failing")]
    assert messages == [
        "it was killed; next try in 1 s",
        "it exited 1; next try in 2 s",
        "it exited 1; next try in 4 s",
        "it exited 1; next try in 8 s",
    ]
    assert daemon.kinds("ready", "download") == ["died", "died", "failing", "failing"]
    assert daemon.launch.attempts.last_error == "it exited 1"


def test_a_failed_retry_is_told_to_whoever_follows_it(start: Start, world: World) -> None:
    daemon = start()
    daemon.serve()
    world.starts = "die"
    daemon.kill_engine()
    daemon.until(lambda: daemon.launch.attempts.restarts == 2)
    daemon.until(lambda: daemon.launch.progress.ended)
    last = daemon.launch.progress.lines[-1]
    assert (last.step, last.message) == (Step.FAILED, "it exited 1; next try in 2 s")
    told = daemon.launch.progress
    world.starts = "answer"
    daemon.until(lambda: daemon.launch.state is LaunchState.READY and daemon.launch.progress.ended)
    assert daemon.launch.progress is not told, "the next try tells from its own beginning"
    assert daemon.launch.progress.lines[-1].step is Step.READY


def test_to_launch_again_ends_one_wait_and_no_more(start: Start, world: World, spawns: Spawns) -> None:
    daemon = start(restart_delay_s=60.0, restart_delay_max_s=60.0)
    daemon.serve()
    world.starts = "die"
    daemon.kill_engine()
    daemon.until_state(LaunchState.DEGRADED)
    daemon.until(lambda: daemon.launch.attempts.restarts == 1)
    asked_s = daemon.loop.now_s
    daemon.ask()
    daemon.until(lambda: len(spawns) == 2)
    assert spawns[1] - asked_s <= START_S
    daemon.until(lambda: len(spawns) == 3)
    assert spawns[2] - spawns[1] >= 60


@pytest.mark.parametrize(
    ("served_s", "wait_s"), [pytest.param(61, 1, id="long enough"), pytest.param(30, 4, id="too short")]
)
def test_serving_for_a_minute_begins_the_waits_anew(
    start: Start, world: World, spawns: Spawns, served_s: float, wait_s: float
) -> None:
    daemon = start()
    daemon.serve()
    world.starts = "die"
    daemon.kill_engine()
    daemon.until(lambda: len(spawns) == 2)
    world.starts = "answer"
    daemon.until_state(LaunchState.READY)
    daemon.pass_s(served_s)
    died_s = daemon.loop.now_s
    count = len(spawns)
    daemon.kill_engine()
    daemon.until(lambda: len(spawns) == count + 1)
    assert wait_s <= spawns[-1] - died_s <= wait_s + START_S


@pytest.mark.parametrize("starts", ["die", "hang"])
def test_a_launch_that_never_served_is_given_up_and_leaves_nothing(
    start: Start, world: World, starts: str
) -> None:
    world.starts = starts
    daemon = start()
    daemon.ask()
    followed = daemon.launch.progress
    daemon.until_at_rest()
    launch = daemon.launch
    assert world.living == [], "an engine that says nothing is stopped"
    assert (launch.state, launch.engine, launch.port) == (LaunchState.FAILED, None, None)
    assert daemon.app.ledger.reserved == {}
    assert not launch.lifecycle.desired
    assert [record.desired for record in daemon.app.store.launches.all()] == [False]
    assert followed.lines[-1].step is Step.FAILED
    assert daemon.kinds("download") == ["failed"]
    daemon.pass_s(600)
    assert len(world.engines) == 1, "it is not tried again"


def test_a_launch_that_is_restored_is_tried_for_ever_and_says_so(start: Start, world: World) -> None:
    first = start()
    first.serve()
    first.call(service.stop_all(first.app))
    assert world.living == []
    first.end()
    world.starts = "die"
    second = start()
    followed = second.launch.progress
    second.until(lambda: followed.ended)
    assert followed.lines[-1].message == "it exited 1; next try in 1 s"
    second.until(lambda: second.launch.attempts.restarts == 6)
    world.starts = "answer"
    second.until_state(LaunchState.READY)


def test_a_daemon_that_ends_stops_its_engines_and_wants_them_back(start: Start, world: World) -> None:
    first = start()
    first.serve()
    first.call(service.stop_all(first.app))
    assert world.living == []
    assert first.launch.state is LaunchState.STOPPED
    assert first.launch.lifecycle.desired
    assert first.kinds("ready", "download") == [], "nobody stopped it"
    assert first.app.ledger.reserved == {}
    first.end()
    second = start()
    second.until_state(LaunchState.READY)
    assert len(world.living) == 1


def test_a_daemon_that_ends_between_tries_starts_nothing_more(start: Start, world: World) -> None:
    daemon = start(restart_delay_s=60.0, restart_delay_max_s=60.0)
    daemon.serve()
    world.starts = "die"
    daemon.kill_engine()
    daemon.until(lambda: daemon.launch.attempts.restarts == 1)
    followed, began_s = daemon.launch.progress, daemon.loop.now_s
    daemon.call(service.stop_all(daemon.app))
    assert daemon.loop.now_s - began_s <= START_S
    assert (daemon.launch.state, daemon.launch.is_at_rest) == (LaunchState.STOPPED, True)
    assert len(world.engines) == 1
    assert followed._broadcast.closed, "whoever follows it is let go"


def test_a_launch_that_is_held_ends_its_engine_and_starts_again_once_all_have_released_it(
    start: Start, world: World, spawns: Spawns
) -> None:
    daemon = start()
    orders = daemon.serve().orders
    orders.hold("heat", "the GPU to cool")
    orders.hold("tenants", "ComfyUI to leave")
    daemon.until(lambda: world.living == [] and "held" in daemon.kinds())
    daemon.pass_s(3600)
    row = daemon.launch.row()
    assert (row.state, row.waiting) == (LaunchState.QUEUED, "the GPU to cool; ComfyUI to leave")
    assert daemon.app.ledger.reserved == {}
    assert [record.desired for record in daemon.app.store.launches.all()] == [True]
    with pytest.raises(BusyError, match="a waits for the GPU to cool"):
        daemon.call(service.restart(daemon.app, "a"))
    orders.release("heat")
    daemon.pass_s(3600)
    assert len(spawns) == 1
    orders.release("tenants")
    daemon.until(lambda: daemon.kinds()[-1] == "ready")
    assert daemon.launch.row().waiting is None
    assert daemon.kinds("download") == ["ready", "held", "released", "ready"]
    assert daemon.launch.attempts.restarts == 0


def test_a_launch_that_is_held_can_be_stopped(start: Start, world: World) -> None:
    daemon = start()
    daemon.serve().orders.hold("heat", "the GPU to cool")
    daemon.until(lambda: world.living == [])
    daemon.call(service.stop(daemon.app, "a"))
    assert daemon.launch.state is LaunchState.STOPPED
    assert daemon.kinds("download")[-1] == "stopped"


def test_a_hold_between_tries_keeps_the_next_one_back(start: Start, world: World, spawns: Spawns) -> None:
    daemon = start()
    daemon.serve()
    world.starts = "die"
    daemon.kill_engine()
    daemon.until_state(LaunchState.DEGRADED)
    daemon.launch.orders.hold("heat", "the GPU to cool")
    world.starts = "answer"
    daemon.pass_s(600)
    assert len(spawns) <= 2
    daemon.launch.orders.release("heat")
    daemon.until_state(LaunchState.READY)
