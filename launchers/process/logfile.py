"""The log of one launch. The engine writes to the file itself, so that it outlives its daemon;
the size is held by copying the file away and truncating it under the writer (O_APPEND)."""

import logging
import os
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

LIMIT_BYTES = 8 * 1024**2  # two files of this size a launch at most
TAIL_BYTES = 256 * 1024


def open_log(path: Path, limit_bytes: int = LIMIT_BYTES) -> tuple[int, int]:
    """A descriptor to append to, and the offset at which this run's lines begin."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bound(path, limit_bytes)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    return descriptor, os.fstat(descriptor).st_size


def bound(path: Path, limit_bytes: int = LIMIT_BYTES) -> bool:
    """Moves the lines of a file past the limit to ``NAME.1``; true if it did. Lines written between
    the copy and the cut are lost: the price of an engine that holds the file open. Cut it is even where
    the copy fails: a full disk is the last place for a log that grows. Raises: OSError."""
    try:
        if path.stat().st_size <= limit_bytes:
            return False
    except FileNotFoundError:
        return False
    try:
        _keep(path, limit_bytes)
    except OSError as error:
        log.warning("older lines of a log are lost: file=%s error=%s", path, error)
    os.truncate(path, 0)
    return True


def _keep(path: Path, limit_bytes: int) -> None:
    """Copies the last lines to ``NAME.1``."""
    beside = path.with_name(f"{path.name}.part")
    try:
        with path.open("rb") as source, beside.open("wb") as target:
            source.seek(max(0, path.stat().st_size - limit_bytes))
            target.write(source.read(limit_bytes))  # no more: the engine writes on
        beside.replace(path.with_name(f"{path.name}.1"))
    except OSError:
        with suppress(OSError):  # the first error is the one to tell
            beside.unlink(missing_ok=True)
        raise


def size_bytes(path: Path) -> int:
    """Where the next line will begin."""
    try:
        return path.stat().st_size
    except OSError:
        return 0  # gone, or closed to us: its engine has a log no more


def tail(path: Path, *, since: int = 0, limit_bytes: int = TAIL_BYTES) -> str:
    """The last lines written after offset ``since``; from the start where the file was cut."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = since if since <= size else 0
            file.seek(max(begin, size - limit_bytes))
            return file.read(limit_bytes).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def head(path: Path, *, since: int = 0, limit_bytes: int = TAIL_BYTES) -> str:
    """The first lines written after offset ``since``: what an engine says of its start."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(since if since <= size else 0)
        return file.read(limit_bytes).decode("utf-8", errors="replace")
