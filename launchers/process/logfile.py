"""The log of one launch. The engine itself writes to the file, so that it can outlive its daemon; the size
is bounded by copying the file and truncating it under the writer (O_APPEND)."""

import logging
import os
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

LIMIT_BYTES = 8 * 1024**2  # at most two files of this size for each launch
TAIL_BYTES = 256 * 1024


def open_log(path: Path, limit_bytes: int = LIMIT_BYTES) -> tuple[int, int]:
    """A descriptor to append to, and the offset at which this run's lines begin."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bound(path, limit_bytes)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    return descriptor, os.fstat(descriptor).st_size


def bound(path: Path, limit_bytes: int = LIMIT_BYTES) -> bool:
    """Moves the lines of a file past the limit to ``NAME.1``; true if it did. Lines written between the copy
    and the truncation are lost, because the engine holds the file open. It is truncated even if the copy
    fails, so that a log does not grow on a full disk. Raises: OSError."""
    try:
        if path.stat().st_size <= limit_bytes:
            return False
    except FileNotFoundError:
        return False
    try:
        _copy(path, limit_bytes)
    except OSError as error:
        log.warning("older lines of a log are lost: file=%s error=%s", path, error)
    os.truncate(path, 0)
    return True


def _copy(path: Path, limit_bytes: int) -> None:
    """Copies the last lines to ``NAME.1``."""
    partial = path.with_name(f"{path.name}.part")
    try:
        with path.open("rb") as source, partial.open("wb") as target:
            source.seek(max(0, path.stat().st_size - limit_bytes))
            target.write(source.read(limit_bytes))  # bounded: the engine goes on writing
        partial.replace(path.with_name(f"{path.name}.1"))
    except OSError:
        with suppress(OSError):  # the first error is the one to report
            partial.unlink(missing_ok=True)
        raise


def remove(path: Path) -> None:
    """With its older lines. One that can't be removed stays."""
    for file in (path, path.with_name(f"{path.name}.1")):
        with suppress(OSError):
            file.unlink()


def size_bytes(path: Path) -> int:
    """Where the next line will begin."""
    try:
        return path.stat().st_size
    except OSError:
        return 0  # missing or not readable


def tail(path: Path, *, since: int = 0, limit_bytes: int = TAIL_BYTES) -> str:
    """The last lines written after offset ``since``; from the start where the file was truncated."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = since if since <= size else 0
            file.seek(max(begin, size - limit_bytes))
            return file.read(limit_bytes).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def head(path: Path, *, since: int = 0, limit_bytes: int = TAIL_BYTES) -> str:
    """The first lines written after offset ``since``: what an engine logs about its start."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(since if since <= size else 0)
        return file.read(limit_bytes).decode("utf-8", errors="replace")
