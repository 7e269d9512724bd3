"""The table of states: complete, as the README shows it, and without dead ends."""

from itertools import product
from pathlib import Path

import pytest

from daemon.launches.lifecycle import MAX_HISTORY, Lifecycle
from daemon.launches.state_machine import TRANSITIONS, Event, IllegalTransitionError, after
from domain.launches.launch import LaunchState
from tests.conftest import ROOT

README = ROOT / "daemon" / "launches" / "README.md"


def readme_table(path: Path) -> dict[tuple[str, str], str]:
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in path.read_text().splitlines()
        if line.startswith("|") and line.count("|") > len(Event)
    ]
    events = rows[0][1:]
    cells = ((row[0], event, cell) for row in rows[2:] for event, cell in zip(events, row[1:], strict=True))
    return {(state, event): cell for state, event, cell in cells if cell}


def test_the_readme_shows_this_table() -> None:
    table = {
        (state.value, event.value): target.value
        for state, row in TRANSITIONS.items()
        for event, target in row.items()
    }
    assert readme_table(README) == table


@pytest.mark.parametrize(("state", "event"), list(product(LaunchState, Event)))
def test_an_event_leads_where_the_table_says_or_is_a_bug(state: LaunchState, event: Event) -> None:
    target = TRANSITIONS[state].get(event)
    if target is None:
        with pytest.raises(IllegalTransitionError, match=f"{state} can't take the event {event}"):
            after(state, event)
    else:
        assert after(state, event) is target


def test_from_everywhere_a_stop_leads_to_stopped() -> None:
    for state in LaunchState:
        assert after(after(state, Event.STOP), Event.GONE) is LaunchState.STOPPED


def test_every_state_is_reached_from_a_new_launch() -> None:
    reached, front = {LaunchState.QUEUED}, {LaunchState.QUEUED}
    while front:
        front = {target for state in front for target in TRANSITIONS[state].values()} - reached
        reached |= front
    assert reached == set(LaunchState)


def test_the_history_tells_how_it_came_there_and_stays_short() -> None:
    lifecycle = Lifecycle()
    lifecycle.apply(Event.START)
    began = lifecycle.since
    lifecycle.apply(Event.START)
    assert lifecycle.since == began, "no change of state"
    lifecycle.apply(Event.ANSWER)
    assert [(step.event, step.state) for step in lifecycle.history] == [
        ("start", LaunchState.STARTING),
        ("start", LaunchState.STARTING),
        ("answer", LaunchState.READY),
    ]
    lifecycle.apply(Event.STOP)
    for _ in range(2 * MAX_HISTORY):
        lifecycle.apply(Event.STOP)
    assert len(lifecycle.history) == MAX_HISTORY


def test_an_event_that_is_a_bug_changes_nothing() -> None:
    lifecycle = Lifecycle()
    with pytest.raises(IllegalTransitionError):
        lifecycle.apply(Event.ANSWER)
    assert lifecycle.state is LaunchState.QUEUED
    assert not lifecycle.history
