"""When a model yields its GPU to another program, and when it comes back, to the second and the byte."""

import pytest

from daemon.guards.tenants_policy import BACK_S, GROWN_BYTES, Tenancy, Use, after_sample
from domain.machine.accelerator import GpuProcess
from domain.units import GIB, MIB

CARD = 24 * GIB


def comfy(size_bytes: int | None, pid: int = 7) -> GpuProcess:
    return GpuProcess(pid, "python3 ComfyUI/main.py", size_bytes)


def use(*tenants: GpuProcess, free_bytes: int = GIB) -> Use:
    return Use(CARD, free_bytes, tenants)


@pytest.mark.parametrize(
    ("total_bytes", "free_bytes", "squeezed"),
    [
        (20 * GIB, GIB - 1, True),
        (20 * GIB, GIB, False),
        (4 * GIB, 512 * MIB - 1, True),
        (4 * GIB, 512 * MIB, False),
    ],
)
def test_memory_is_short_below_a_margin(total_bytes: int, free_bytes: int, squeezed: bool) -> None:
    assert Use(total_bytes, free_bytes, ()).is_squeezed is squeezed


def test_a_program_that_grows_while_memory_is_short_is_yielded_to() -> None:
    begun = Tenancy.begin(use(comfy(GIB)))
    assert after_sample(begun, use(comfy(GIB + GROWN_BYTES - 1)), 0).guests == ()
    grown = after_sample(begun, use(comfy(GIB + GROWN_BYTES)), 0)
    assert [one.pid for one in grown.guests] == [7]
    assert grown.names == "python3 ComfyUI/main.py"


def test_one_that_grows_while_there_is_room_is_not_in_the_way_until_there_is_none() -> None:
    begun = Tenancy.begin(use())
    roomy = after_sample(begun, use(comfy(8 * GIB), free_bytes=9 * GIB), 0)
    assert roomy.guests == ()
    assert after_sample(roomy, use(comfy(8 * GIB)), 1).guests != ()


def test_what_was_there_before_the_model_is_not_in_the_way_and_may_have_its_memory_back_once_only() -> None:
    begun = Tenancy.begin(use(comfy(8 * GIB)))
    assert after_sample(begun, use(comfy(8 * GIB)), 0).guests == ()
    shrunk = after_sample(begun, use(comfy(GIB), free_bytes=9 * GIB), 0)
    assert after_sample(shrunk, use(comfy(8 * GIB)), 1).guests != ()


def test_a_new_program_of_unknown_size_counts_and_a_known_one_does_not() -> None:
    begun = Tenancy.begin(use(comfy(None)))
    assert after_sample(begun, use(comfy(None)), 0).guests == ()
    assert after_sample(begun, use(comfy(None), comfy(None, 8)), 0).guests == (comfy(None, 8),)
    assert Tenancy(guests=(GpuProcess(9, None, None),)).names == "process 9"


def test_it_comes_back_a_while_after_all_have_left() -> None:
    guests = after_sample(Tenancy.begin(use()), use(comfy(GIB)), 0)
    empty = use(free_bytes=CARD)
    left = after_sample(guests, empty, 100)
    assert left.guests != ()
    assert after_sample(left, empty, 100 + BACK_S - 0.1).guests != ()
    back = after_sample(left, empty, 100 + BACK_S)
    assert (back.guests, back.left_s) == ((), None)


def test_one_that_returns_meanwhile_is_waited_for_anew() -> None:
    guests = after_sample(Tenancy.begin(use()), use(comfy(GIB)), 0)
    left = after_sample(guests, use(), 100)
    again = after_sample(left, use(comfy(2 * GIB, 8), free_bytes=9 * GIB), 110)
    assert ([one.pid for one in again.guests], again.left_s) == ([8], None)
    assert after_sample(after_sample(again, use(), 111), use(), 100 + BACK_S).guests != ()


def test_one_that_lets_go_of_its_memory_has_left_even_if_it_runs_on() -> None:
    guests = after_sample(Tenancy.begin(use(comfy(100 * MIB))), use(comfy(GIB)), 0)
    idle = use(comfy(120 * MIB), free_bytes=CARD)
    assert after_sample(after_sample(guests, idle, 1), idle, 1 + BACK_S).guests == ()


def test_a_program_is_in_the_way_from_its_first_bytes_on() -> None:
    exactly = use(comfy(GROWN_BYTES))
    assert after_sample(Tenancy.begin(use()), exactly, 0).guests != ()
    assert after_sample(Tenancy.begin(use(comfy(None))), exactly, 0).guests != ()
    unknown = after_sample(Tenancy.begin(use(comfy(GIB))), use(comfy(None)), 0)
    assert after_sample(unknown, exactly, 1).guests != ()
