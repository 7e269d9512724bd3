"""Who stops to make room: never a busy or pinned one, the least valuable first, and no more than needed."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from daemon.launches.eviction.policy import (
    MOST_COMPARED,
    Occupant,
    Room,
    Shortage,
    least_valuable_first,
    make_room,
)

DEVICES = ("host", "GPU0", "GPU1")
sizes = st.dictionaries(st.sampled_from(DEVICES), st.integers(0, 40), max_size=3)
occupants = st.builds(
    Occupant,
    name=st.uuids().map(str),
    device_bytes=sizes,
    priority=st.integers(-2, 2),
    is_pinned=st.booleans(),
    is_busy=st.booleans(),
    on_demand=st.booleans(),
    idle_s=st.floats(0, 1e6),
    load_s=st.none() | st.floats(0, 900),
)
boxes = st.lists(occupants, max_size=18, unique_by=lambda one: one.name)
free_memory = st.fixed_dictionaries({device: st.none() | st.integers(0, 60) for device in DEVICES})


def is_enough(
    stopped: list[Occupant], needed: Mapping[str, int], free: Mapping[str, int | None], *, but: str = ""
) -> bool:
    def back(device: str) -> int:
        return sum(one.device_bytes.get(device, 0) for one in stopped if one.name != but)

    return all(
        (free_bytes := free[device]) is None or free_bytes + back(device) >= needed[device]
        for device in needed
    )


@given(boxes, sizes, free_memory)
def test_those_who_stop_make_enough_room_and_each_of_them_is_needed(
    box: list[Occupant], needed: dict[str, int], free: dict[str, int | None]
) -> None:
    room = make_room(box, needed, free)
    stopped = [one for one in box if one.name in room.stop]
    assert room.shortages or is_enough(stopped, needed, free)
    assert not any(is_enough(stopped, needed, free, but=one.name) for one in stopped)


@given(boxes, sizes, free_memory)
def test_nobody_stops_who_is_busy_or_pinned_or_not_on_demand(
    box: list[Occupant], needed: dict[str, int], free: dict[str, int | None]
) -> None:
    room = make_room(box, needed, free)
    for one in box:
        may_stop = one.on_demand and not one.is_busy and not one.is_pinned
        assert may_stop or one.name not in room.stop


@given(boxes, sizes, free_memory)
def test_room_is_refused_only_where_all_idle_ones_would_not_be_enough(
    box: list[Occupant], needed: dict[str, int], free: dict[str, int | None]
) -> None:
    room = make_room(box, needed, free)
    assert bool(room.shortages) is not is_enough(least_valuable_first(box), needed, free)
    assert not (room.shortages and room.stop)
    for shortage in room.shortages:
        assert shortage.needed_bytes == needed[shortage.device]
        assert shortage.free_bytes == free[shortage.device]
        held = sum(one.device_bytes.get(shortage.device, 0) for one in box)
        assert shortage.idle_bytes + shortage.busy_bytes + shortage.kept_bytes == held


@given(boxes, sizes, free_memory)
def test_of_those_worth_no_more_than_is_needed_the_fewest_stop(
    box: list[Occupant], needed: dict[str, int], free: dict[str, int | None]
) -> None:
    stopped, order = make_room(box, needed, free).stop, least_valuable_first(box)
    last = max((number for number, one in enumerate(order) if one.name in stopped), default=-1)
    assert not stopped or not is_enough(order[:last], needed, free)
    if last < MOST_COMPARED:
        fewer = combinations(order[: last + 1], max(0, len(stopped) - 1))
        assert not stopped or not any(is_enough(list(part), needed, free) for part in fewer)


HOUR_S = 3600.0
A = Occupant("a", {"GPU0": 8}, idle_s=HOUR_S, load_s=10)
B = Occupant("b", {"GPU0": 8}, idle_s=HOUR_S / 10, load_s=10)


def test_nobody_stops_where_there_is_room_or_none_is_known() -> None:
    assert make_room([A, B], {"GPU0": 8, "host": 1}, {"GPU0": 8, "host": 1}) == Room()
    assert make_room([A, B], {"GPU0": 8, "GPU1": 1}, {"GPU0": None}) == Room()


def test_the_one_that_was_not_used_for_longest_stops() -> None:
    assert make_room([B, A], {"GPU0": 8}, {"GPU0": 0}).stop == ("a",)
    assert make_room([B, A], {"GPU0": 9}, {"GPU0": 0}).stop == ("a", "b")
    assert make_room([B, A], {"GPU0": 9}, {"GPU0": 1}).stop == ("a",)


def test_a_priority_comes_before_the_last_use() -> None:
    assert make_room([replace(A, priority=1), B], {"GPU0": 8}, {"GPU0": 0}).stop == ("b",)
    assert make_room([A, replace(B, priority=-1)], {"GPU0": 8}, {"GPU0": 0}).stop == ("b",)


def test_of_two_that_are_idle_for_about_as_long_the_one_that_loads_sooner_stops() -> None:
    slow, quick = replace(A, idle_s=63 * 60, load_s=90), replace(B, idle_s=32 * 60, load_s=3)
    assert make_room([slow, quick], {"GPU0": 8}, {"GPU0": 0}).stop == ("b",)
    longer = replace(slow, idle_s=64 * 60)
    assert make_room([longer, quick], {"GPU0": 8}, {"GPU0": 0}).stop == ("a",)
    same = replace(B, idle_s=33 * 60, load_s=90)
    assert make_room([replace(slow, idle_s=32 * 60), same], {"GPU0": 8}, {"GPU0": 0}).stop == ("b",)
    unknown = replace(quick, load_s=None)
    assert make_room([slow, unknown], {"GPU0": 8}, {"GPU0": 0}).stop == ("b",)


def test_those_that_hold_nothing_of_what_lacks_are_left_alone() -> None:
    on_another = Occupant("other", {"GPU1": 40, "host": 40}, idle_s=9 * HOUR_S)
    room = make_room([on_another, A], {"GPU0": 8, "host": 1}, {"GPU0": 0, "host": 5})
    assert room.stop == ("a",)


def test_one_large_model_stops_rather_than_it_and_small_ones() -> None:
    small = [Occupant(f"small{number}", {"GPU0": 1}, idle_s=9 * HOUR_S) for number in range(20)]
    large = replace(A, device_bytes={"GPU0": 30})
    assert make_room([*small, large], {"GPU0": 21}, {"GPU0": 0}).stop == ("a",)
    assert len(make_room([*small, large], {"GPU0": 31}, {"GPU0": 0}).stop) == 2
    few = make_room([*small[:4], A], {"GPU0": 10}, {"GPU0": 0}).stop
    assert few == ("small0", "small1", "a")


def test_a_refusal_has_the_numbers_of_each_device_that_lacks_memory() -> None:
    busy = replace(B, is_busy=True)
    always = Occupant("always", {"GPU0": 4, "host": 2}, on_demand=False, is_busy=True)
    pinned = Occupant("pinned", {"GPU0": 3}, is_pinned=True, is_busy=True)
    needed, free = {"GPU0": 17, "GPU1": 9, "host": 1}, {"GPU0": 8, "GPU1": 1, "host": 0}
    room = make_room([A, busy, always, pinned], needed, free)
    assert room.shortages == (
        Shortage(
            "GPU0", 17, 8, idle_bytes=8, busy_bytes=8, kept_bytes=7, busy=("b",), kept=("always", "pinned")
        ),
        Shortage("GPU1", 9, 1),
        Shortage("host", 1, 0, kept_bytes=2, kept=("always",)),
    )
    assert [shortage.fits_later for shortage in room.shortages] == [True, False, False]


def test_a_device_whose_idle_models_would_be_enough_is_no_shortage() -> None:
    room = make_room([A], {"GPU0": 8, "host": 5}, {"GPU0": 0, "host": 1})
    assert room == Room(shortages=(Shortage("host", 5, 1),))


def test_what_one_device_lacks_does_not_come_back_from_another() -> None:
    on_host = Occupant("on-host", {"host": 1}, idle_s=60)
    room = make_room([A, on_host], {"GPU0": 8, "host": 2}, {"GPU0": 0, "host": 1})
    assert room.stop == ("a", "on-host")
