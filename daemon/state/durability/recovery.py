"""A state that is damaged: set aside, and replaced by the newest whole copy, or by an empty one.

Each step can be repeated: a daemon that dies in between leaves what the next one goes on with.
"""

import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from daemon.state.durability import opening
from daemon.state.durability.opening import DamagedError, NewerSchemaError

log = logging.getLogger(__name__)

COPIES_MAX = 3
SET_ASIDE_MAX = 3
SIDECARS = ("-wal", "-shm", "-journal")  # sqlite.org/tempfiles.html


@dataclass(frozen=True, slots=True)
class Recovered:
    """What replaced a damaged state: the copy of ``copied_at`` (ISO 8601), or nothing. ``set_aside`` is the
    damaged file, ``None`` where it stays in its place because the disk can't be written."""

    reason: str
    set_aside: Path | None
    copied_at: str | None

    @property
    def in_words(self) -> str:
        aside = "" if self.set_aside is None else f", kept as {self.set_aside}"
        if self.copied_at is None:
            return f"the state was damaged ({self.reason}){aside}; there was no whole copy: it is empty now"
        return (
            f"the state was damaged ({self.reason}){aside}; "
            f"taken from the copy of {self.copied_at}: what was changed since then is lost"
        )


def copies_of(path: Path) -> Path:
    """The folder of the copies of ``path``."""
    return path.parent / "copies"


def copy_paths(path: Path) -> Sequence[Path]:
    """The names of its copies, the newest first."""
    return [copies_of(path) / f"{path.name}.{number}" for number in range(1, COPIES_MAX + 1)]


def open_or_recover(path: Path) -> tuple[sqlite3.Connection, Recovered | None]:
    """Without the file, the state is empty: its owner moved it away. Blocks. Raises: ConfigError,
    sqlite3.DatabaseError or OSError of the disk; then nothing is lost."""
    if not path.exists() and _prepared(path).exists():
        _put_in_place(path)
    is_new = not path.exists() or not any(copy.exists() for copy in copy_paths(path))
    try:
        return opening.open_file(path, is_new=is_new), None
    except DamagedError as error:
        return _replace(path, newest_whole(path), str(error))
    except NewerSchemaError as error:
        copy = newest_whole(path)
        if copy is None:
            raise
        return _replace(path, copy, str(error))


def copy_to(path: Path, folder: Path) -> Path:
    """The state and its copies, as they are, in ``folder``. Blocks. Raises: OSError."""
    copied = folder / path.name
    for file in (path, *sidecars(path), *copy_paths(path)):
        to = copies_of(copied) if file.parent == copies_of(path) else folder
        to.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            shutil.copy2(file, to)
    return copied


def sidecars(path: Path) -> Sequence[Path]:
    return [path.with_name(path.name + end) for end in SIDECARS]


def sync(path: Path) -> None:
    """A file or a folder, to its disk. Raises: OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_copy(copy: Path) -> None:
    """Raises: DamagedError, NewerSchemaError, sqlite3.DatabaseError."""
    with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        opening.check(connection, copy)


def newest_whole(path: Path) -> Path | None:
    """Raises: NewerSchemaError for a copy of a newer version: its state is not to be replaced by an older."""
    for copy in copy_paths(path):
        try:
            if copy.is_file():
                check_copy(copy)
                return copy
        except (DamagedError, UnicodeDecodeError, sqlite3.Error, OSError) as error:
            log.warning("copy of the state can't be used: file=%s %s", copy, error)
    return None


def _replace(path: Path, copy: Path | None, reason: str) -> tuple[sqlite3.Connection, Recovered]:
    """First the replacement is on the disk, then the damaged file goes: one of them is always there."""
    prepared, aside = _prepared(path), _free_name(path)
    recovered = Recovered(reason, aside, None if copy is None else _time_of(copy))
    if copy is not None:
        part = prepared.with_name(f"{prepared.name}.part")
        shutil.copy(copy, part)
        sync(part)
        part.replace(prepared)
    path.replace(aside)
    with suppress(FileNotFoundError):
        wal, *_ = sidecars(path)
        wal.replace(aside.with_name(f"{aside.name}-wal"))
    _put_in_place(path)
    _limit_set_aside(path)
    log.error("%s", recovered.in_words)
    return opening.open_file(path, is_new=True), recovered


def _put_in_place(path: Path) -> None:
    """What SQLite left beside the damaged file must not be applied to the new one."""
    for file in sidecars(path):
        file.unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        _prepared(path).replace(path)
    sync(path.parent)


def _prepared(path: Path) -> Path:
    return path.with_name(f"{path.name}.restored")


def _free_name(path: Path) -> Path:
    name = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    names = (name, *(name.with_name(f"{name.name}.{number}") for number in range(2, 1000)))
    return next(free for free in names if not free.exists())


def _set_aside(path: Path) -> Iterator[Path]:
    """Not the folders: what is in them is not ours to remove."""
    files = path.parent.glob(f"{path.name}.damaged-*")
    return (file for file in files if not file.name.endswith(SIDECARS) and not file.is_dir())


def _limit_set_aside(path: Path) -> None:
    for old in sorted(_set_aside(path), key=lambda file: file.lstat().st_mtime)[:-SET_ASIDE_MAX]:
        for file in (old, *sidecars(old)):
            file.unlink(missing_ok=True)


def _time_of(copy: Path) -> str:
    return datetime.fromtimestamp(copy.stat().st_mtime, UTC).isoformat(timespec="seconds")
