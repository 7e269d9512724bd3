"""A state whose file is damaged: it always opens, and what a copy has of what was desired is there."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.state.durability import copies, opening, recovery
from daemon.state.records import LaunchRequest
from daemon.state.store import Store, clone
from domain.errors import ConfigError
from domain.launches.plan import LaunchOptions
from launchers.command import Command
from tests.daemon.state.test_store import LAUNCH

NAMES = {"tiny", "large", "stopped"}
VERSION = range(60, 64)  # of the header: user_version
DAMAGES = st.one_of(
    st.builds(lambda at: ("cut", at, b""), st.floats(0, 1)),
    st.builds(lambda at, data: ("write", at, data), st.floats(0, 1), st.binary(min_size=1, max_size=64)),
    st.builds(lambda at: ("write", at, bytes(4096)), st.floats(0, 1)),
    st.builds(lambda at, data: ("head", at, data), st.integers(0, 99), st.binary(min_size=1, max_size=4)),
)


def fill(store: Store) -> None:
    for name in sorted(NAMES):
        request = LaunchRequest(name, "o/r", LaunchOptions())
        store.launches.save(replace(LAUNCH, request=request, desired=name != "stopped"))
        store.runs.begin(name, Command(("/bin/engine",), 1, name), port=1, engine_version=None)
    for number in range(40):
        store.events.append("kind", f"event {number} " + "x" * 100)
        store.measurements.put(f"key {number}", {"a": number})


@pytest.fixture(scope="module")
def pristine() -> Iterator[Path]:
    """A folder with a state, its log as a daemon that was killed leaves it, and a copy."""
    with TemporaryDirectory() as name:
        running, folder = Path(name, "running"), Path(name, "killed")
        running.mkdir()
        with closing(Store(running / "state.db")) as store:
            fill(store)
            store.copies._content()
            copies.write(store.path)
            store.events.append("kind", "after the copy")
            shutil.copytree(running, folder)
        yield folder


@contextmanager
def damaged(pristine: Path) -> Iterator[Path]:
    with TemporaryDirectory() as name:
        folder = Path(name, "state")
        shutil.copytree(pristine, folder)
        yield folder / "state.db"


def damage(path: Path, what: tuple[str, float, bytes]) -> None:
    kind, at, data = what
    size = path.stat().st_size
    offset = int(at) if kind == "head" else int(at * size)
    if kind == "cut":
        os.truncate(path, offset)
        return
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data[: max(0, size - offset)])


def names(store: Store) -> set[str]:
    return {record.request.name for record in store.launches.all()}


def check_whole(store: Store) -> None:
    with store.database.reading() as db:
        opening.check(db, store.path)


@settings(max_examples=int(os.environ.get("DAMAGE_EXAMPLES", "60")), deadline=None)
@given(file=st.sampled_from(("state.db", "state.db-wal", "state.db-shm")), what=DAMAGES)
def test_whatever_is_damaged_the_state_opens_and_has_the_launches(
    pristine: Path, file: str, what: tuple[str, float, bytes]
) -> None:
    with damaged(pristine) as path:
        damage(path.with_name(file), what)
        with closing(Store(path)) as store:
            check_whole(store)
            assert names(store) == NAMES
            store.events.append("kind", "it can be written")
        with closing(Store(path)) as store:
            assert store.database.recovered is None, "once is enough"


@settings(max_examples=30, deadline=None)
@given(what=DAMAGES)
@example(what=("head", 18, b"\x03"))  # it can be read, and only a newer SQLite may write it
def test_without_a_copy_it_opens_too(pristine: Path, what: tuple[str, float, bytes]) -> None:
    """But for the number that says that a newer version wrote the file."""
    with damaged(pristine) as path:
        shutil.rmtree(path.parent / "copies")
        version = path.read_bytes()[VERSION.start : VERSION.stop]
        damage(path, what)
        if path.stat().st_size >= VERSION.stop and path.read_bytes()[VERSION.start : VERSION.stop] != version:
            return
        with closing(Store(path)) as store:
            check_whole(store)
            store.events.append("kind", "it can be written")


def test_the_damaged_file_is_kept_and_what_happened_is_said(pristine: Path) -> None:
    with damaged(pristine) as path:
        path.write_bytes(b"no database at all" * 500)
        with closing(Store(path)) as store:
            recovered = store.database.recovered
            assert recovered is not None
            assert recovered.set_aside is not None
            assert recovered.set_aside.read_bytes().startswith(b"no database at all")
            assert "taken from the copy of" in recovered.in_words
            assert "file is not a database" in recovered.in_words
            assert names(store) == NAMES


@pytest.mark.parametrize(
    ("make", "reason"), [(Path.mkdir, "it is a folder"), (os.mkfifo, "it is not a regular file")]
)
def test_what_is_no_file_is_set_aside_too(pristine: Path, make: Callable[[Path], None], reason: str) -> None:
    with damaged(pristine) as path:
        path.unlink()
        make(path)
        with closing(Store(path)) as store:
            recovered = store.database.recovered
            assert recovered is not None
            assert recovered.set_aside is not None
            assert recovered.set_aside.exists()
            assert reason in recovered.in_words
            assert names(store) == NAMES


def test_of_damaged_files_three_are_kept(pristine: Path) -> None:
    with damaged(pristine) as path:
        for _ in range(5):
            path.write_bytes(b"damaged" * 500)
            Store(path).close()
        kept = [file for file in path.parent.iterdir() if ".damaged-" in file.name]
        assert len([file for file in kept if not file.name.endswith("-wal")]) == recovery.SET_ASIDE_MAX


def test_a_damaged_copy_is_passed_over(pristine: Path) -> None:
    with damaged(pristine) as path:
        newest, older, _ = recovery.copy_paths(path)
        shutil.copy(newest, older)
        newest.write_bytes(b"damaged" * 500)
        os.truncate(path, 5000)
        with closing(Store(path)) as store:
            assert names(store) == NAMES


@pytest.mark.parametrize("died_after", ["_put_in_place", "_limit_set_aside"])
def test_a_daemon_that_dies_while_it_recovers_leaves_the_next_one_all(
    pristine: Path, died_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(path: Path) -> None:
        raise KeyboardInterrupt

    with damaged(pristine) as path:
        os.truncate(path, 5000)
        with monkeypatch.context() as dying:
            dying.setattr(recovery, died_after, die)
            with pytest.raises(KeyboardInterrupt):
                Store(path)
        with closing(Store(path)) as store:
            assert names(store) == NAMES


def test_a_launch_that_can_not_be_read_is_taken_from_the_copy(pristine: Path) -> None:
    with damaged(pristine) as path:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE launches SET request = '{' WHERE name = 'tiny'")
        with closing(Store(path)) as store:
            assert names(store) == NAMES
            assert store.database.recovered is None
            (event,) = [event for event in store.events.since() if event.kind == "repaired"]
            assert event.message.startswith("tiny: its record could not be read, and was taken from")


def test_a_state_that_its_owner_moved_away_is_empty(pristine: Path) -> None:
    with damaged(pristine) as path:
        path.rename(path.with_name("away"))
        with closing(Store(path)) as store:
            assert names(store) == set()
            assert store.database.recovered is None


def test_a_state_of_a_newer_version_is_refused_and_not_replaced_by_an_older_copy(pristine: Path) -> None:
    """The newer version made a copy of its own at its start."""
    with damaged(pristine) as path:
        newest, older, _ = recovery.copy_paths(path)
        newest.rename(older)
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 99")
        copies_before = older.read_bytes()
        shutil.copy(path, newest)
        with pytest.raises(ConfigError, match="schema version 99"):
            Store(path)
        assert older.read_bytes() == copies_before
        assert not list(path.parent.glob("*.damaged-*"))


def test_a_reader_sees_what_a_daemon_would_and_changes_nothing(pristine: Path) -> None:
    with damaged(pristine) as path:
        os.truncate(path, 5000)
        before = {file: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()}
        with clone(path) as store:
            assert names(store) == NAMES
        assert {file: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()} == before
