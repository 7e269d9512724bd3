"""What the state keeps is bounded: the oldest goes first, and nothing that an owner wants."""

from functools import partial
from pathlib import Path

import pytest

from daemon.state import events, measurements, models, runs
from daemon.state.store import Store
from launchers.command import Command
from tests.daemon.state.test_store import LAUNCH


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def test_a_message_as_long_as_a_book_is_cut(store: Store) -> None:
    store.events.append("kind", "x" * 1_000_000)
    (event,) = store.events.since()
    assert len(event.message) == events.MESSAGE_MAX + 3


def test_runs_that_have_ended_go_but_for_the_last_of_each_launch(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one has the port, so that clients find the model there again."""
    monkeypatch.setattr(runs, "RUNS_MAX", 2)
    store.launches.save(LAUNCH)
    begin = partial(store.runs.begin, command=Command(("/bin/engine",), 1, "x"), engine_version=None)
    begin("open", port=1)
    for port in (2, 3):
        store.runs.end_one(begin("tiny", port=port), "stopped")
    store.runs.end_one(begin("forgotten", port=4), "stopped")
    for port in (5, 6, 7):
        store.runs.end_one(begin("other", port=port), "stopped")
    with store.database.reading() as db:
        kept = [tuple(row) for row in db.execute("SELECT launch, port FROM runs ORDER BY id")]
    assert kept == [("open", 1), ("tiny", 3), ("other", 6), ("other", 7)]
    assert store.runs.last_port("tiny") == 3


def test_measurements_that_were_made_long_ago_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "MEASUREMENTS_MAX", 2)
    for key in ("a", "b", "c"):
        store.measurements.put(key, 1)
    store.measurements.put("b", 2)
    assert [store.measurements.get(int, key) for key in ("a", "b", "c")] == [None, 2, 1]


def test_models_that_were_used_long_ago_go_and_pins_stay(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MODELS_MAX", 1)
    store.models.update("pinned", pinned=True)
    for name in ("a", "b", "c"):
        store.models.update(name, used_at=f"2026-01-0{ord(name) - 96}")
    assert set(store.models.all()) == {"pinned", "b", "c"}
