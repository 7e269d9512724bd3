"""Copies of the state: made when it matters, few, whole, and never at the cost of the state."""

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.state.durability import copies, recovery
from daemon.state.durability.copies import Copies
from daemon.state.durability.opening import DamagedError
from daemon.state.store import Store
from domain.errors import StateError
from tests.daemon.state.test_store import LAUNCH


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def age(copy: Path, days: int) -> None:
    then = copy.stat().st_mtime - days * copies.DAY_S
    os.utime(copy, (then, then))


async def test_a_copy_is_made_at_once_of_what_is_desired_and_hourly_of_the_rest(store: Store) -> None:
    clock = Clock()
    made = Copies(store.database, clock=clock)
    newest, *_ = recovery.copy_paths(store.path)

    async def is_made(*, is_last: bool = False) -> bool:
        newest.unlink(missing_ok=True)
        await made.refresh(is_last=is_last)
        return newest.exists()

    assert await is_made()
    assert not await is_made()
    await store.run(store.launches.save, LAUNCH)
    assert await is_made(), "a launch that is desired"
    await store.run(store.launches.save, replace(LAUNCH, restarts=3))
    assert not await is_made(), "its state is of no matter"
    assert await is_made(is_last=True), "the daemon ends"
    await store.run(store.events.append, "kind", "message")
    clock.now_s += copies.EVERY_S
    assert await is_made(), "an hour"
    clock.now_s += copies.EVERY_S
    assert not await is_made(), "nothing changed"
    await store.run(store.launches.save, replace(LAUNCH, desired=False))
    assert await is_made(), "a launch that is desired no longer"


def test_a_copy_is_one_file_that_only_its_owner_reads(store: Store) -> None:
    store.launches.save(LAUNCH)
    copies.write(store.path)
    folder = recovery.copies_of(store.path)
    assert [file.name for file in folder.iterdir()] == ["state.db.1"]
    assert (folder.stat().st_mode & 0o777, (folder / "state.db.1").stat().st_mode & 0o777) == (0o700, 0o600)
    with closing(sqlite3.connect(folder / "state.db.1")) as db:
        assert db.execute("SELECT name FROM launches").fetchall() == [("tiny",)]
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_one_copy_a_day_and_three_of_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    newest, second, third = recovery.copy_paths(store.path)
    with monkeypatch.context() as no_midnight:
        no_midnight.setattr(copies, "DAY_S", 1 << 40)
        copies.write(store.path)
        copies.write(store.path)
    assert not second.exists(), "of the same day one is kept"
    for _ in range(4):
        age(newest, days=1)
        copies.write(store.path)
    assert sorted(newest.parent.iterdir()) == [newest, second, third]
    age(newest, days=-400)  # the clock was wrong
    copies.write(store.path)
    assert sorted(newest.parent.iterdir()) == [newest, second, third]


def test_a_damaged_state_replaces_no_copy(store: Store) -> None:
    store.launches.save(LAUNCH)
    copies.write(store.path)
    store.close()
    (copy, *_) = recovery.copy_paths(store.path)
    before = copy.read_bytes()
    os.truncate(store.path, 5000)
    with pytest.raises((DamagedError, sqlite3.Error)):
        copies.write(store.path)
    assert copy.read_bytes() == before
    assert [file.name for file in copy.parent.iterdir()] == [copy.name]


async def test_without_room_no_copy_is_made_and_it_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(copies, "ROOM_FACTOR", 1 << 60)
        await store.copies.refresh()
    assert "no room for a copy of the state" in (store.copies.problem or "")
    await store.run(store.launches.save, LAUNCH)
    await store.copies.refresh()
    assert store.copies.problem is None


def test_a_state_that_grew_out_of_bounds_is_not_copied(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "SIZE_MAX_BYTES", 1000)
    with pytest.raises(StateError, match="copies are made up to"):
        copies.write(store.path)
