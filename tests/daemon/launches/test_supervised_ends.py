"""How a supervised launch ends: by an order, with an engine that stays, by a bug, on a full disk."""

import asyncio

import pytest

from daemon.launches import ending, persistence, service, supervisor
from daemon.launches.start import placement
from domain.errors import EngineError, NodeError, StateError, UnknownModelError
from domain.launches.launch import LaunchState, Step
from tests.daemon.launches.stepped_daemon import OPTIONS, START_S, Daemon, Start
from tests.daemon.launches.world import World


def test_a_stop_ends_a_wait_and_is_told_once(start: Start, world: World) -> None:
    daemon = start(restart_delay_s=60.0, restart_delay_max_s=60.0)
    daemon.serve()
    world.starts = "die"
    daemon.kill_engine()
    daemon.until(lambda: daemon.launch.attempts.restarts == 1)
    asked_s = daemon.loop.now_s
    row = daemon.call(service.stop(daemon.app, "a"))
    assert daemon.loop.now_s - asked_s <= START_S
    assert (row.state, row.pid, row.endpoint) == (LaunchState.STOPPED, None, None)
    assert not daemon.launch.lifecycle.desired
    assert [record.desired for record in daemon.app.store.launches.all()] == [False]
    daemon.call(service.stop(daemon.app, "a"))
    assert daemon.kinds("ready", "died", "download") == ["stopped"]


def test_a_stop_of_what_serves_ends_its_engine_and_its_progress(start: Start, world: World) -> None:
    daemon = start()
    daemon.serve()
    daemon.call(service.stop(daemon.app, "a"))
    assert world.living == []
    assert daemon.launch.progress.lines[-1].step is Step.STOPPED
    assert daemon.launch.port is None
    assert daemon.app.ledger.reserved == {}
    again = daemon.serve()
    assert again.state is LaunchState.READY


def test_to_forget_leaves_no_row_and_no_name(start: Start, world: World) -> None:
    daemon = start()
    daemon.serve()
    daemon.call(service.stop(daemon.app, "a", forget=True))
    assert daemon.app.launches == {}
    assert list(daemon.app.store.launches.all()) == []
    assert world.living == []


def test_an_engine_that_can_t_be_killed_keeps_its_memory_until_it_is_gone(start: Start, world: World) -> None:
    world.unkillable_from_now = True
    daemon = start()
    daemon.serve()
    stopping = daemon.loop.create_task(service.stop(daemon.app, "a"))
    daemon.until(stopping.done)
    with pytest.raises(EngineError, match="does not end, not even killed"):
        stopping.result()
    assert daemon.launch.state is LaunchState.STOPPING
    assert set(daemon.app.ledger.reserved) == {"a"}
    assert daemon.kinds("ready", "download") == ["engine_stuck"]
    daemon.kill_engine()  # the kernel lets it go
    daemon.until_at_rest()
    assert daemon.launch.state is LaunchState.STOPPED
    assert daemon.app.ledger.reserved == {}
    assert daemon.kinds("ready", "download") == ["engine_stuck", "engine_gone", "stopped"]


def test_one_that_can_t_be_killed_is_told_of_once_however_often_it_is_stopped(
    start: Start, world: World
) -> None:
    world.unkillable_from_now = True
    daemon = start()
    daemon.serve()
    for _ in range(3):
        stopping = daemon.loop.create_task(service.stop(daemon.app, "a"))
        daemon.until(stopping.done)
        assert isinstance(stopping.exception(), EngineError)
    assert daemon.kinds("ready", "download") == ["engine_stuck"]


def test_the_daemon_ends_without_the_engine_that_it_can_t_kill(start: Start, world: World) -> None:
    world.unkillable_from_now = True
    daemon = start()
    daemon.serve()
    daemon.call(service.stop_all(daemon.app))
    assert len(world.living) == 1
    assert daemon.launch.lifecycle.desired


def test_a_start_that_fails_with_an_engine_that_can_t_be_killed_says_why_it_failed(
    start: Start, world: World
) -> None:
    world.starts, world.unkillable_from_now = "hang", True
    daemon = start()
    followed = daemon.ask().progress
    daemon.until(lambda: followed.ended)
    assert "does not end" in followed.lines[-1].message
    daemon.kill_engine()
    daemon.until_at_rest()
    assert daemon.launch.state is LaunchState.FAILED


def test_a_bug_in_a_start_is_a_failure_that_its_owner_sees(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(placement, "resolve_models", broken)
    daemon = start()
    launch = daemon.ask()
    daemon.until(lambda: launch.is_at_rest)
    assert launch.state is LaunchState.FAILED
    last = launch.progress.lines[-1]
    assert (last.step, last.message, last.hint) == (Step.FAILED, "KeyError: 'odd'", supervisor.TRACEBACK)


@pytest.mark.parametrize(
    "raised",
    [
        pytest.param(SystemExit(3), id="SystemExit"),
        pytest.param(KeyboardInterrupt(), id="KeyboardInterrupt"),
        pytest.param(MemoryError(), id="MemoryError"),
        pytest.param(RecursionError(), id="RecursionError"),
        pytest.param(asyncio.CancelledError(), id="a CancelledError that nobody ordered"),
        pytest.param(BaseExceptionGroup("odd", [SystemExit(3)]), id="a group of them"),
    ],
)
@pytest.mark.parametrize("where", ["a start", "supervision"])
def test_whatever_is_raised_the_launch_has_failed_and_says_so(
    start: Start, monkeypatch: pytest.MonkeyPatch, raised: BaseException, where: str
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise raised

    if where == "a start":
        monkeypatch.setattr(placement, "resolve_models", broken)
    else:
        monkeypatch.setattr(supervisor, "_try_once", broken)
    daemon = start()
    launch = daemon.ask()
    daemon.until(lambda: launch.is_at_rest)
    last = launch.progress.lines[-1]
    assert launch.state is LaunchState.FAILED
    assert (last.step, last.hint) == (Step.FAILED, supervisor.TRACEBACK)
    assert last.message.startswith(type(raised).__name__)
    assert daemon.kinds() == ["failed"]
    assert daemon.app.in_flight.suspects == {}


def test_an_engine_that_a_bug_left_behind_is_taken_over(
    start: Start, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise KeyError("odd")

    daemon = start()
    daemon.serve()
    monkeypatch.setattr(supervisor, "stop_engine", broken)
    with pytest.raises(NodeError, match="KeyError: 'odd'"):
        daemon.call(service.restart(daemon.app, "a"))
    assert (daemon.launch.state, daemon.launch.is_at_rest) == (LaunchState.FAILED, True)
    assert [record.desired for record in daemon.app.store.launches.all()] == [True], "of the next daemon"
    monkeypatch.undo()
    daemon.call(service.start(daemon.app, "a"))
    daemon.until(lambda: daemon.launch.state is LaunchState.READY)
    assert len(world.living) == 1


def test_a_bug_in_supervision_is_told_to_whoever_waits(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = start()
    daemon.serve()

    async def broken(*_: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(ending, "_note_stop", broken)
    stopping = daemon.loop.create_task(service.stop(daemon.app, "a"))
    daemon.until(stopping.done)
    with pytest.raises(NodeError, match="KeyError: 'odd'"):
        stopping.result()
    assert daemon.launch.is_at_rest
    assert daemon.launch.attempts.last_error == "KeyError: 'odd'"
    assert not daemon.launch.orders.must_end


def test_a_model_that_nobody_knows_leaves_no_launch_behind(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*_: object) -> None:
        raise UnknownModelError("no model is called tiny")

    monkeypatch.setattr(placement, "resolve_models", unknown)
    daemon = start()
    launch = daemon.ask()
    daemon.until(lambda: launch.is_at_rest)
    assert daemon.kinds() == ["failed"]
    assert daemon.app.launches == {}
    assert list(daemon.app.store.launches.all()) == []


def test_of_launches_that_never_served_the_oldest_go_with_their_logs(
    start: Start, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persistence, "NEVER_SERVED_KEPT", 2)
    daemon = start()
    daemon.serve()
    daemon.call(service.stop(daemon.app, "a"))
    world.starts = "die"
    names = ["one", "two", "three", "four"]
    for name in names:
        log = daemon.app.log_path(name)
        log.parent.mkdir(exist_ok=True)
        log.write_text("it exited 1")
        daemon.call(service.launch(daemon.app, "/m/tiny.gguf", OPTIONS, name))
        daemon.until(lambda name=name: daemon.app.launches[name].is_at_rest)  # type: ignore[misc]
        daemon.app.launches[name].lifecycle.since = f"2026-01-0{names.index(name) + 1}"
    daemon.call(persistence.flush(daemon.app))
    assert list(daemon.app.launches) == ["a", "three", "four"]
    stored = {record.request.name for record in daemon.app.store.launches.all()}
    assert stored == {"a", "three", "four"}
    assert [name for name in names if daemon.app.log_path(name).exists()] == ["three", "four"]


def full(daemon: Daemon, why: str | None = "the disk is full") -> None:
    daemon.app.store.database.read_only_because = why


def test_what_can_t_be_stored_is_not_accepted_and_nothing_is_begun(start: Start, world: World) -> None:
    daemon = start()
    full(daemon)
    with pytest.raises(StateError):
        daemon.ask()
    assert daemon.app.launches == {}
    assert world.engines == []


def test_the_launch_before_comes_back_where_the_next_one_can_t_be_stored(start: Start, world: World) -> None:
    daemon = start()
    before = daemon.serve()
    daemon.call(service.stop(daemon.app, "a"))
    full(daemon)
    with pytest.raises(StateError):
        daemon.ask()
    assert daemon.launch is before
    assert (before.state, before.is_at_rest) == (LaunchState.STOPPED, True)


def test_a_stop_that_can_t_be_stored_stops_and_says_so(start: Start, world: World) -> None:
    daemon = start()
    daemon.serve()
    full(daemon)
    with pytest.raises(StateError, match="a is stopped, but that could not be stored") as told:
        daemon.call(service.stop(daemon.app, "a"))
    assert "free some space" in told.value.hint
    assert world.living == []
    assert daemon.launch.unsaved
    with pytest.raises(StateError):
        daemon.call(service.stop(daemon.app, "a", forget=True))
    full(daemon, None)
    daemon.call(service.stop(daemon.app, "a", forget=True))
    assert daemon.app.launches == {}
