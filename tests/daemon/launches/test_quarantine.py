"""Daemons that die again and again: of what, and what of it is begun once more."""

import asyncio
import ctypes
from dataclasses import replace

import pytest

from daemon import turns
from daemon.launches import service
from daemon.launches.start import placement
from domain.launches.launch import LaunchState, Step
from domain.launches.plan import LaunchOptions
from tests.daemon.launches.stepped_daemon import OPTIONS, Daemon, Start
from tests.daemon.launches.world import World
from tests.daemon.state.test_store import PLAN


class Plans:
    """Plans of the models in ``stuck`` don't end."""

    def __init__(self) -> None:
        self.stuck: set[str] = set()
        self.begun: list[str] = []

    async def plan(self, _: object, model: str, *others: object) -> object:
        self.begun.append(model)
        while model in self.stuck:  # noqa: ASYNC110 - of the stepped loop
            await asyncio.sleep(1)
        return replace(PLAN, model=model)


@pytest.fixture
def plans(start: Start, monkeypatch: pytest.MonkeyPatch) -> Plans:
    plans = Plans()
    monkeypatch.setattr(placement, "checked_plan", plans.plan)
    return plans


def kill(daemon: Daemon) -> None:
    """As by SIGKILL: nothing of it runs on, not even the ends of its coroutines."""
    for task in asyncio.all_tasks(daemon.loop):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))
    daemon.app.store.close()
    daemon.loop.close()


def ask(daemon: Daemon, *names: str, options: LaunchOptions = OPTIONS) -> None:
    for name in names:
        daemon.call(service.launch(daemon.app, f"/m/{name}.gguf", options, name))


def state(daemon: Daemon, name: str) -> LaunchState:
    return daemon.app.launches[name].state


def until_ready(daemon: Daemon, name: str) -> None:
    daemon.until(lambda: daemon.app.launches[name].progress.ended)
    assert state(daemon, name) is LaunchState.READY


def killed_while_planning(start: Start, plans: Plans, *names: str) -> None:
    daemon = start()
    plans.stuck |= {f"/m/{name}.gguf" for name in names}
    before = len(plans.begun)
    ask(daemon, *names)
    daemon.until(lambda: len(plans.begun) == before + len(names))
    kill(daemon)


def test_what_the_daemon_died_of_twice_is_quarantined_and_the_rest_is_served(
    start: Start, plans: Plans, world: World
) -> None:
    killed_while_planning(start, plans, "poison")
    second = start()
    ask(second, "good")
    until_ready(second, "good")
    second.until(lambda: plans.begun.count("/m/poison.gguf") == 2)
    kill(second)
    third = start()
    third.until(lambda: state(third, "good") is LaunchState.READY)
    third.until(lambda: state(third, "poison") is LaunchState.FAILED)
    poison = third.app.launches["poison"]
    assert poison.row().last_error == (
        "quarantined: the daemon died twice while it was planning poison; "
        "node-ctl start poison tries it again, node-ctl stop poison --forget removes it"
    )
    third.until(lambda: poison.is_at_rest)
    assert poison.progress.lines[-1].step is Step.FAILED
    assert third.kinds().count("quarantined") == 1
    assert plans.begun.count("/m/poison.gguf") == 2
    assert [engine.command.served_name for engine in world.living] == ["good"]
    kill(third)
    fourth = start()
    fourth.until(lambda: state(fourth, "good") is LaunchState.READY)
    assert (state(fourth, "poison"), fourth.app.launches["poison"].is_at_rest) == (LaunchState.FAILED, True)
    assert plans.begun.count("/m/poison.gguf") == 2


def test_a_start_takes_it_out_of_quarantine(start: Start, plans: Plans) -> None:
    for _ in range(2):
        killed_while_planning(start, plans, "poison")
    daemon = start()
    daemon.until(lambda: daemon.app.launches["poison"].is_at_rest)
    plans.stuck.clear()
    daemon.call(service.start(daemon.app, "poison"))
    daemon.until(lambda: state(daemon, "poison") is LaunchState.READY)
    kill(daemon)
    again = start()
    again.until(lambda: state(again, "poison") is LaunchState.READY)
    assert again.app.launches["poison"].lifecycle.desired


def test_of_two_suspects_only_the_one_whose_turn_it_was_is_convicted(start: Start, plans: Plans) -> None:
    killed_while_planning(start, plans, "innocent", "poison")
    plans.stuck.discard("/m/innocent.gguf")
    second = start()
    second.until(lambda: plans.begun.count("/m/poison.gguf") == 2)
    assert state(second, "innocent") is LaunchState.READY, "one after the other"
    kill(second)
    third = start()
    third.until(lambda: state(third, "poison") is LaunchState.FAILED)
    third.until(lambda: state(third, "innocent") is LaunchState.READY)


def test_a_suspect_is_restored_last_and_says_why_it_waits(start: Start, plans: Plans, world: World) -> None:
    first = start()
    ask(first, "good")
    until_ready(first, "good")
    plans.stuck.add("/m/poison.gguf")
    ask(first, "poison")
    first.until(lambda: "/m/poison.gguf" in plans.begun)
    kill(first)
    world.living[0].alive = False
    world.starts = "hang"
    second = start()
    second.until(lambda: state(second, "good") is LaunchState.STARTING)
    poison = second.app.launches["poison"]
    assert poison.row().waiting == (
        "its turn to be restored, alone and last: the daemon died once while it was planning poison"
    )
    plans.stuck.clear()
    second.pass_s(60)  # the engine of the other one has said nothing for so long
    second.until(lambda: poison.waiting is None and poison.state is LaunchState.STARTING)


def test_what_is_served_when_the_daemon_dies_is_no_suspect(start: Start, plans: Plans) -> None:
    for _ in range(4):
        daemon = start()
        ask(daemon, "good")
        until_ready(daemon, "good")
        assert daemon.app.launches["good"].key not in daemon.app.in_flight.suspects
        kill(daemon)


def test_a_daemon_that_is_told_to_stop_convicts_nothing(start: Start, plans: Plans) -> None:
    plans.stuck.add("/m/slow.gguf")
    for count in range(1, 5):
        daemon = start()
        if count == 1:
            ask(daemon, "slow")
        daemon.until(lambda n=count: len(plans.begun) == n)  # type: ignore[misc]
        daemon.call(told_to_stop(daemon))
        daemon.loop.step()
        kill(daemon)
    assert [work.deaths for work in _works(start())] == [0]


async def told_to_stop(daemon: Daemon) -> None:
    """And killed before it had stopped anything."""
    daemon.app.in_flight.close()


def _works(daemon: Daemon) -> list[object]:
    return list(daemon.app.store.in_flight.all())


def test_a_failure_that_its_owner_is_told_of_is_no_death(start: Start, plans: Plans, world: World) -> None:
    killed_while_planning(start, plans, "a")
    plans.stuck.clear()
    world.starts = "die"
    second = start()
    second.until(lambda: second.launch.attempts.restarts == 1)
    second.until(lambda: second.loop.is_idle)
    assert _works(second) == []


def test_what_waits_for_its_turn_can_be_stopped_and_need_not_wait(start: Start, plans: Plans) -> None:
    first = start()
    ask(first, "a", "b", "c")
    first.until(lambda: all(state(first, name) is LaunchState.READY for name in "abc"))
    first.call(service.stop_all(first.app))
    first.end()
    plans.stuck.add("/m/a.gguf")
    second = start()
    second.until(lambda: plans.begun.count("/m/a.gguf") == 2)
    waiting = [second.app.launches[name].row() for name in "bc"]
    assert [row.waiting for row in waiting] == ["its turn to be restored, after a"] * 2
    assert [row.state for row in waiting] == [LaunchState.QUEUED] * 2
    row = second.call(service.stop(second.app, "b"))
    assert (row.state, row.waiting) == (LaunchState.STOPPED, None)
    _, created = second.call(service.start(second.app, "c"))
    assert not created, "it is desired already"
    second.until(lambda: state(second, "c") is LaunchState.READY)
    assert plans.begun.count("/m/b.gguf") == 1


def test_what_takes_too_long_in_its_turn_holds_up_no_other(start: Start, plans: Plans) -> None:
    first = start()
    ask(first, "a", "b")
    first.until(lambda: all(state(first, name) is LaunchState.READY for name in "ab"))
    first.call(service.stop_all(first.app))
    first.end()
    plans.stuck.add("/m/a.gguf")
    second = start()
    second.until(lambda: state(second, "b") is LaunchState.READY)
    assert state(second, "a") is LaunchState.QUEUED


def test_nothing_waits_for_ever_where_the_turns_break(
    start: Start, plans: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_while_planning(start, plans, "a", "b")
    plans.stuck.clear()

    def broken(*_: object) -> None:
        raise SystemExit(3)

    monkeypatch.setattr(turns, "_forget_gone", broken)
    second = start()
    second.until(lambda: state(second, "a") is state(second, "b") is LaunchState.READY)
    assert "restore_failed" in second.kinds()


def test_what_is_gone_is_no_suspect_for_the_next_of_its_name(start: Start, plans: Plans) -> None:
    killed_while_planning(start, plans, "a")
    second = start()
    second.app.store.launches.forget("a")  # and the daemon died before it had struck it out
    kill(second)
    plans.stuck.clear()
    third = start()
    third.until(lambda: _works(third) == [])
    assert third.app.launches == {}
