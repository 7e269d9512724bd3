"""Memory that launches have reserved, and what is free beside it."""

from dataclasses import replace

import pytest

from daemon.planning.verification import with_free_memory_of
from daemon.resources.ledger import Ledger, free_bytes, without
from domain.launches.plan import DeviceMemory, Plan
from domain.machine.hardware import Gpu, Hardware, Memory
from tests.daemon.state.test_store import PLAN


def plan_of(host_bytes: int, gpu_bytes: int) -> Plan:
    rows = (("host", host_bytes), ("GPU0", gpu_bytes))
    memory = tuple(DeviceMemory(device, 0, 0, 0, 0, count) for device, count in rows)
    return replace(PLAN, memory=memory)


def test_two_launches_in_flight_are_not_given_the_same_memory() -> None:
    book = Ledger()
    book.reserve("a", plan_of(60, 5))
    book.reserve("b", plan_of(30, 1))
    machine = Hardware(
        memory=Memory(available_bytes=100, cgroup_available_bytes=None),
        gpus=(Gpu("x", "amd", "X", memory_free_bytes=10), Gpu("y", "amd", "Y")),
    )
    left = without(machine, book.reservations_of_others("b").device_bytes)
    assert (free_bytes(left, "host"), free_bytes(left, "GPU0")) == (40, 5)
    assert free_bytes(left, "GPU1") is None, "unknown stays unknown"
    assert left.memory.cgroup_available_bytes is None
    book.release("a")
    assert book.reservations_of_others("b").device_bytes == {}


def test_a_served_model_still_holds_the_weights_it_only_maps() -> None:
    book = Ledger()
    book.reserve("a", plan_of(60, 5))
    book.settle("a", host_held_bytes=20)
    assert book.reservations_of_others("b").device_bytes == {"host": 40}


def test_a_plan_is_admitted_only_if_nobody_reserved_since_the_look() -> None:
    book = Ledger()
    look = book.reservations_of_others("b")
    book.reserve("a", plan_of(60, 5))
    assert not book.admit("b", plan_of(30, 1), look)
    assert "b" not in book.reserved
    look = book.reservations_of_others("b")
    book.release("a")
    assert book.admit("b", plan_of(30, 1), look), "less is reserved than the plan reckoned with"


def test_a_plan_is_not_admitted_by_a_look_from_before_another_began_to_serve() -> None:
    """Its reservation is smaller then, and what it uses is not in that look."""
    book = Ledger()
    book.reserve("a", plan_of(60, 5))
    look = book.reservations_of_others("b")
    book.settle("a", host_held_bytes=60)
    assert not book.admit("b", plan_of(30, 1), look)
    assert book.admit("b", plan_of(30, 1), book.reservations_of_others("b"))


def test_reservations_of_several_launches_add_up() -> None:
    book = Ledger()
    book.reserve("a", plan_of(60, 5))
    book.reserve("b", plan_of(30, 1))
    assert book.reservations_of_others("c").device_bytes == {"host": 90, "GPU0": 6}


def test_more_reserved_on_a_device_that_the_look_did_not_count_is_no_admission() -> None:
    book = Ledger()
    look = book.reservations_of_others("b")
    book.reserve("a", plan_of(0, 1))
    assert not book.admit("b", plan_of(30, 1), look)
    assert book.admit("b", plan_of(30, 1), book.reservations_of_others("b"))
    assert book.reserved["b"] == {"host": 30, "GPU0": 1}


def test_a_served_model_that_took_more_than_its_plan_holds_nothing_more() -> None:
    book = Ledger()
    book.reserve("a", plan_of(60, 5))
    book.settle("a", host_held_bytes=70)
    assert book.reservations_of_others("b").device_bytes == {"host": 0}


def test_an_engine_that_was_taken_over_holds_nothing_more_than_it_uses() -> None:
    book = Ledger()
    book.settle("taken over", host_held_bytes=20)
    assert book.reservations_of_others("b").device_bytes == {"host": 0}


@pytest.mark.parametrize(
    ("available_bytes", "cgroup_bytes", "free"),
    [
        pytest.param(100, 40, 40, id="a cgroup is tighter"),
        pytest.param(30, 40, 30, id="other programs left less than the cgroup allows"),
        pytest.param(100, None, 100, id="no cgroup"),
        pytest.param(None, 40, 40, id="only the cgroup is known"),
        pytest.param(None, None, None, id="unknown"),
    ],
)
def test_the_host_has_free_what_its_tighter_limit_leaves(
    available_bytes: int | None, cgroup_bytes: int | None, free: int | None
) -> None:
    memory = Memory(available_bytes=available_bytes, cgroup_available_bytes=cgroup_bytes)
    assert free_bytes(Hardware(memory=memory), "host") == free


def test_what_is_reserved_comes_off_both_limits_of_the_host_and_never_below_nothing() -> None:
    machine = Hardware(memory=Memory(available_bytes=100, cgroup_available_bytes=40))
    left = without(machine, {"host": 50}).memory
    assert (left.available_bytes, left.cgroup_available_bytes) == (50, 0)


def test_what_is_reserved_on_one_gpu_leaves_the_others() -> None:
    gpus = tuple(Gpu(name, "amd", name, memory_free_bytes=10) for name in "xy")
    left = without(Hardware(gpus=gpus), {"GPU1": 4})
    assert [free_bytes(left, device) for device in ("GPU0", "GPU1")] == [10, 6]


@pytest.mark.parametrize("device", ["GPU2", "GPU", "RPC0"])
def test_a_device_that_is_not_there_has_nothing_known_free(device: str) -> None:
    gpus = tuple(Gpu(name, "amd", name, memory_free_bytes=10) for name in "xy")
    assert free_bytes(Hardware(gpus=gpus), device) is None


def test_a_plan_for_less_memory_gets_back_what_was_taken_also_where_all_was() -> None:
    machine = Hardware(
        memory=Memory(available_bytes=100),
        gpus=(Gpu("x", "amd", "X", memory_free_bytes=10), Gpu("y", "amd", "Y")),
    )
    reduced = without(machine, {"host": 40, "GPU0": 25, "GPU1": 5})
    rows = (DeviceMemory("host", 0, 0, 0, 0, 0, 60), DeviceMemory("GPU0", 0, 0, 0, 0, 0, 0))
    plan = replace(PLAN, memory=(*rows, DeviceMemory("GPU1", 0, 0, 0, 0, 0)))
    memory = with_free_memory_of(plan, reduced, machine).memory
    assert [row.free_bytes for row in memory] == [100, 10, None]


def test_where_nothing_is_reserved_all_stays_free() -> None:
    machine = Hardware(memory=Memory(available_bytes=100), gpus=(Gpu("x", "amd", "X", memory_free_bytes=10),))
    assert without(machine, {}) == machine
    assert Ledger().reservations_of_others("a").device_bytes == {}
