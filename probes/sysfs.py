"""Reads small files of /sys, /proc and /etc below a root. Never raises and never blocks.

A file that is absent, unreadable or malformed gives ``None``: reporting what is missing is the probe's task.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 1 << 20  # /proc/cpuinfo of 256 CPUs is 400 KB; nothing read here is longer
NUMBER = re.compile(r"-?(?:0x[0-9a-fA-F]{1,16}|[0-9]{1,20})")


def read(path: Path, *, max_bytes: int = MAX_BYTES) -> str | None:
    """The stripped text of a file, at most ``max_bytes`` of it."""
    content = read_bytes(path, max_bytes=max_bytes)
    return None if content is None else content.decode(errors="replace").strip()


def read_bytes(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes | None:
    try:
        # non-blocking, because the path may be a pipe or a device
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):  # ValueError: a NUL in a path that came from another file
        return None
    try:
        chunks = []
        remaining = max_bytes
        while remaining > 0 and (chunk := os.read(descriptor, remaining)):
            chunks.append(chunk)
            remaining -= len(chunk)
    except OSError:  # sysfs attributes fail with EBUSY, EIO or EPERM at the read
        return None
    finally:
        os.close(descriptor)
    return b"".join(chunks)


def read_int(path: Path) -> int | None:
    return parse_int(read(path))


def read_count(path: Path) -> int | None:
    """A size or a count: None for a negative number."""
    number = read_int(path)
    return number if number is not None and number >= 0 else None


def parse_int(text: str | None) -> int | None:
    """``"4096"`` -> 4096, ``"0x1586"`` -> 5510; ``"max"``, ``"N/A"`` and absurdly long numbers -> None."""
    number = (text or "").strip()  # which also takes separators of files and records, that int() refuses
    if not NUMBER.fullmatch(number):
        return None
    return int(number, 0) if "x" in number else int(number)


def entries(folder: Path) -> list[str]:
    """Names in a folder in natural order (``hwmon2`` before ``hwmon10``); [] if it is absent."""
    try:
        return sorted((entry.name for entry in folder.iterdir()), key=_natural_key)
    except (OSError, ValueError):
        return []


def _natural_key(name: str) -> tuple[tuple[int, str], ...]:
    return tuple((len(part), part) if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name))


def link_name(path: Path) -> str | None:
    """The last part of a symlink's target: the name of a driver, the device behind a class entry."""
    try:
        return path.readlink().name or None
    except (OSError, ValueError):
        return None


def exists(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def modification_key(paths: Iterable[Path]) -> tuple[int, ...]:
    """Modification times and sizes: what was read from these paths is valid while this stays the same."""
    key: list[int] = []
    for path in paths:
        with suppress(OSError):
            stat = path.stat()
            key += (stat.st_mtime_ns, stat.st_size)
    return tuple(key)


def is_denied(path: Path) -> bool:
    """Whether the file exists and this process may not read it.

    The first byte is read, because KFD's files can be opened and then fail with EPERM.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.read(descriptor, 1)
        finally:
            os.close(descriptor)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return False


def parse_pairs(text: str | None) -> dict[str, str]:
    """Lines of ``key value``, as in KFD's files, ``memory.stat`` and ``/proc/self/status``."""
    pairs = (line.split(None, 1) for line in (text or "").splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
