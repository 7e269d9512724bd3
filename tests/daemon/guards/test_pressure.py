"""A machine that runs short of memory: who gives way, in which order, and who returns."""

from dataclasses import replace

import pytest

from daemon.guards.pressure import HOLDER, PressureGuard
from daemon.launches.launch import Launch
from domain.launches.launch import LaunchState
from domain.launches.plan import HOST, DeviceMemory
from domain.machine.hardware import Hardware, Memory
from domain.machine.sample import Sample, Stall
from domain.units import GIB
from launchers.liveness import Activity
from tests.daemon.launches.plans import plan_always
from tests.daemon.launches.stepped_daemon import Daemon, Start
from tests.daemon.launches.world import World

RAM = 64 * GIB


@pytest.fixture
def serving(start: Start, monkeypatch: pytest.MonkeyPatch) -> tuple[Daemon, Launch, PressureGuard]:
    plan_always(monkeypatch)
    daemon = start()
    launch = daemon.serve()
    assert launch.plan is not None
    launch.plan = replace(launch.plan, memory=(DeviceMemory(HOST, GIB, 0, 0, needed_bytes=9 * GIB),))
    return daemon, launch, PressureGuard(daemon.app)


def sample(at_s: float, available_bytes: int, full: float = 0.0) -> Sample:
    machine = Hardware(memory=Memory(total_bytes=RAM, available_bytes=available_bytes))
    return Sample(at_s, at_s, machine, {"memory": Stall(full, full)})


def test_an_idle_model_is_unloaded_and_returns(
    serving: tuple[Daemon, Launch, PressureGuard], world: World
) -> None:
    daemon, launch, guard = serving
    daemon.call(guard.on_sample(sample(0, GIB)))
    assert launch.orders.holds == {}, "it may pass"
    daemon.call(guard.on_sample(sample(8, GIB)))
    daemon.until(lambda: world.living == [] and launch.state is LaunchState.QUEUED)
    told = next(event.message for event in daemon.events if event.kind == "memory_short")
    assert "1.0 GiB of 64.0 GiB are available" in told
    assert "it is idle" in told
    for at_s in (60, 120):
        daemon.call(guard.on_sample(sample(at_s, 30 * GIB)))
    assert HOLDER in launch.orders.holds
    daemon.call(guard.on_sample(sample(180, 30 * GIB)))
    daemon.until_state(LaunchState.READY)


def test_a_busy_model_is_reduced(serving: tuple[Daemon, Launch, PressureGuard], world: World) -> None:
    daemon, launch, guard = serving
    world.look = replace(world.look, activity=Activity(1, ("decoded 1",)))
    for at_s in (0, 8):
        daemon.call(guard.on_sample(sample(at_s, 30 * GIB, full=0.5)))
    assert launch.ladder.steps
    told = next(event.message for event in daemon.events if event.kind == "reduced")
    assert "50 % of the time is spent waiting" in told
    daemon.until(lambda: daemon.kinds().count("ready") == 2)


def test_a_model_without_ram_of_note_stays(serving: tuple[Daemon, Launch, PressureGuard]) -> None:
    daemon, launch, guard = serving
    assert launch.plan is not None
    launch.plan = replace(launch.plan, memory=(DeviceMemory("GPU0", GIB, 0, 0, needed_bytes=9 * GIB),))
    for at_s in (0, 8, 99):
        daemon.call(guard.on_sample(sample(at_s, GIB)))
    assert (launch.orders.holds, launch.ladder.steps) == ({}, ())


def test_waiting_for_a_model_that_is_read_from_the_disk_is_no_shortage(
    serving: tuple[Daemon, Launch, PressureGuard],
) -> None:
    daemon, launch, guard = serving
    assert launch.plan is not None
    launch.plan = replace(launch.plan, fits=False)
    for at_s in (0, 8, 99):
        daemon.call(guard.on_sample(sample(at_s, 30 * GIB, full=0.9)))
    assert (launch.orders.holds, launch.ladder.steps) == ({}, ())
