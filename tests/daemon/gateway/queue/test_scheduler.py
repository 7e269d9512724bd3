"""Who is next: classes in order, clients by what they hold, and nobody for ever last."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.gateway.queue.scheduler import (
    CLIENT_PATIENCE,
    MAX_WAITING,
    MAX_WAITING_OF_CLIENT,
    QueueFullError,
    Scheduler,
    Ticket,
    longest_wait,
    places,
)
from domain.priority import Priority, lowest

INTERACTIVE, BACKGROUND, BATCH = Priority


def filled(*asked: tuple[str, Priority]) -> Scheduler:
    scheduler = Scheduler()
    for client, priority in asked:
        scheduler.add(Ticket(client, priority))
    return scheduler


def one_at_a_time(scheduler: Scheduler, count: int | None = None) -> list[str]:
    """Clients in the order of their turns, on an engine that computes one request at once."""
    order = []
    while (count is None or len(order) < count) and (ticket := scheduler.start_next(1)) is not None:
        order.append(ticket.client)
        scheduler.finish(ticket)
    return order


def test_a_client_that_asks_once_does_not_wait_for_all_of_another() -> None:
    scheduler = filled(*[("crowd", INTERACTIVE)] * 5, ("one", INTERACTIVE))
    assert one_at_a_time(scheduler) == ["crowd", "one", "crowd", "crowd", "crowd", "crowd"]


def test_clients_take_turns_and_requests_of_one_client_keep_their_order() -> None:
    scheduler = Scheduler()
    tickets = [Ticket(client, INTERACTIVE) for client in "aaabbb"]
    for ticket in tickets:
        scheduler.add(ticket)
    order = [scheduler.start_next(None) for _ in tickets]
    assert order == [tickets[index] for index in (0, 3, 1, 4, 2, 5)]


def test_who_holds_fewer_places_is_next() -> None:
    """One with long answers does not come to hold every place, as turns alone would have it."""
    scheduler = filled(*[("long", INTERACTIVE)] * 6, *[("short", INTERACTIVE)] * 6)
    for _ in range(4):
        ticket = scheduler.start_next(4)
    for _ in range(4):
        assert ticket is not None
        assert ticket.client == "short"
        scheduler.finish(ticket)
        ticket = scheduler.start_next(4)


def test_someone_at_the_keyboard_goes_before_background_and_batch() -> None:
    scheduler = filled(("c", BATCH), ("b", BACKGROUND), ("a", INTERACTIVE), ("a", INTERACTIVE))
    assert one_at_a_time(scheduler) == ["a", "a", "b", "c"]


def test_a_class_is_passed_over_only_so_often() -> None:
    scheduler = filled(("c", BATCH), ("b", BACKGROUND), *[("a", INTERACTIVE)] * 30)
    order = one_at_a_time(scheduler)
    assert order.index("b") == 4
    assert order.index("c") == 16


def test_a_class_that_has_had_its_turn_waits_as_long_again() -> None:
    scheduler = filled(*[("b", BACKGROUND)] * 3, *[("a", INTERACTIVE)] * 12)
    turns = [index for index, client in enumerate(one_at_a_time(scheduler)) if client == "b"]
    assert turns == [4, 9, 14]


def test_the_class_that_was_passed_over_longest_beyond_its_patience_is_first() -> None:
    scheduler = filled(*[("c", BATCH)] * 2, *[("a", INTERACTIVE)] * 40)
    order = one_at_a_time(scheduler, 12)
    scheduler.add(Ticket("b", BACKGROUND))
    order += one_at_a_time(scheduler, 7)
    assert order == ["a"] * 16 + ["b", "c", "a"]


def test_the_bound_grows_with_what_is_before_a_request() -> None:
    assert longest_wait(INTERACTIVE, ahead=0, clients=1) == (CLIENT_PATIENCE + 1) * (1 + 3)
    assert longest_wait(BATCH, ahead=2, clients=4) == 3 * (CLIENT_PATIENCE + 4) * (16 + 3)


def test_what_an_empty_class_waited_before_does_not_count() -> None:
    scheduler = filled(*[("a", INTERACTIVE)] * 20)
    gone = Ticket("b", BACKGROUND)
    scheduler.add(gone)
    assert one_at_a_time(scheduler, 3) == ["a"] * 3
    scheduler.leave(gone)
    scheduler.add(Ticket("b", BACKGROUND))
    assert one_at_a_time(scheduler, 5) == ["a"] * 4 + ["b"]


def test_a_client_with_many_places_is_passed_over_only_so_often() -> None:
    scheduler = filled(*[("busy", INTERACTIVE)] * 3)
    first = scheduler.start_next(2)
    assert first is not None
    order = []
    for number in range(12):
        scheduler.add(Ticket(f"new {number}", INTERACTIVE))
        ticket = scheduler.start_next(2)
        assert ticket is not None
        order.append(ticket.client)
        scheduler.finish(ticket)
    assert order.index("busy") == CLIENT_PATIENCE


def test_the_client_that_was_passed_over_most_is_first_of_those_overdue() -> None:
    scheduler = Scheduler()
    for client in "abc":  # each holds a place
        scheduler.add(Ticket(client, INTERACTIVE))
        scheduler.start_next(9)
    late = [Ticket("c", INTERACTIVE)]
    for client in "ab":
        scheduler.add(Ticket(client, INTERACTIVE))
    for number in range(CLIENT_PATIENCE):
        scheduler.add(Ticket(f"new {number}", INTERACTIVE))
        ticket = scheduler.start_next(9)
        assert ticket is not None
        scheduler.finish(ticket)
        while late:
            scheduler.add(late.pop())
    order = []
    for _ in range(3):
        scheduler.add(Ticket("new", INTERACTIVE))
        ticket = scheduler.start_next(9)
        assert ticket is not None
        order.append(ticket.client)
    assert order == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("limit", "batch"), [(1, 1), (2, 1), (4, 3)], ids=["the only place", "one of two", "three of four"]
)
def test_a_batch_leaves_a_place_to_others(limit: int, batch: int) -> None:
    scheduler = filled(*[("c", BATCH)] * 9)
    started = [scheduler.start_next(limit) for _ in range(9)]
    assert 9 - started.count(None) == batch == places(BATCH, limit)
    assert places(BACKGROUND, limit) == limit
    scheduler.add(Ticket("a", INTERACTIVE))
    assert (scheduler.start_next(limit) is None) == (limit == 1)


def test_without_a_limit_all_start() -> None:
    scheduler = filled(*[("c", BATCH)] * 9, ("a", INTERACTIVE))
    assert [ticket.client for _ in range(10) if (ticket := scheduler.start_next(None))] == ["a", *"ccccccccc"]
    assert scheduler.running == 10
    assert scheduler.start_next(None) is None


def test_a_place_is_taken_until_it_is_given_back() -> None:
    scheduler = filled(("a", INTERACTIVE), ("a", INTERACTIVE))
    ticket = scheduler.start_next(1)
    assert ticket is not None
    assert scheduler.start_next(1) is None
    assert (scheduler.running, scheduler.waiting(), scheduler.waiting(BATCH)) == (1, 1, 0)
    scheduler.finish(ticket)
    assert scheduler.running == 0
    assert scheduler.start_next(1) is not None


def test_a_batch_has_no_more_places_for_those_that_it_gave_back() -> None:
    scheduler = filled(*[("c", BATCH)] * 5)
    ticket = scheduler.start_next(3)
    assert ticket is not None
    scheduler.finish(ticket)
    started = [scheduler.start_next(3) for _ in range(4)]
    assert [one is not None for one in started] == [True, True, False, False]


def test_a_client_may_not_fill_the_queue_and_all_together_not_the_memory() -> None:
    scheduler = filled(*[("a", INTERACTIVE)] * (MAX_WAITING_OF_CLIENT - 1), ("a", BATCH))
    with pytest.raises(QueueFullError) as own:
        scheduler.add(Ticket("a", BACKGROUND))
    assert str(own.value) == "64 requests wait"
    assert (own.value.of_client, own.value.waiting) == (True, MAX_WAITING_OF_CLIENT)
    for number in range(MAX_WAITING - MAX_WAITING_OF_CLIENT):
        scheduler.add(Ticket(f"client {number}", BATCH))
    with pytest.raises(QueueFullError) as full:
        scheduler.add(Ticket("another", INTERACTIVE))
    assert (full.value.of_client, full.value.waiting) == (False, MAX_WAITING)
    assert scheduler.waiting() == MAX_WAITING


def test_a_header_lowers_the_class_of_a_key_and_never_raises_it() -> None:
    assert lowest((BATCH, INTERACTIVE)) is BATCH
    assert lowest((INTERACTIVE, BACKGROUND)) is BACKGROUND
    assert lowest((INTERACTIVE,)) is INTERACTIVE


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(list(Priority))),  # asks
        st.integers(0, 7),  # that of the running ones ends
        st.just("leaves"),
    ),
    max_size=250,
)


@given(limit=st.integers(1, 4), steps=STEPS)
def test_nobody_waits_longer_than_the_bound_and_no_place_is_idle(limit: int, steps: list[object]) -> None:
    """Whatever comes, ends and leaves in whichever order."""
    scheduler, waiting, running = Scheduler(), {}, []  # type: ignore[var-annotated]
    for step in steps:
        if isinstance(step, tuple):
            ticket = Ticket(*step)
            own = [one for one in waiting if one.client == ticket.client and one.priority is ticket.priority]
            waiting[ticket] = [0, len(own)]
            scheduler.add(ticket)
        elif isinstance(step, int) and running:
            scheduler.finish(running.pop(step % len(running)))
        elif step == "leaves" and waiting:
            scheduler.leave(ticket := next(iter(waiting)))
            del waiting[ticket]
        while True:
            held = Counter(one.priority for one in running)
            able = [one for one in waiting if held[one.priority] < places(one.priority, limit)]
            started = scheduler.start_next(limit)
            assert (started is None) == (not able or len(running) == limit)
            if started is None:
                break
            del waiting[started]
            running.append(started)
            for one in able:
                if one is not started:
                    waiting[one][0] += 1
                    assert waiting[one][0] < longest_wait(one.priority, waiting[one][1], clients=4)
