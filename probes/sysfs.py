"""Small files of /sys, /proc and /etc below a root: read whole, never raising, never blocking.

Absent, unreadable and nonsense are all ``None``: a probe says what it misses, a reader does not.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 1 << 20  # /proc/cpuinfo of 256 CPUs is 400 KB; nothing read here is longer
NUMBER = re.compile(r"-?(?:0x[0-9a-fA-F]{1,16}|[0-9]{1,20})")


def read(path: Path, *, most_bytes: int = MAX_BYTES) -> str | None:
    """The stripped text of a file, up to 1 MiB of it."""
    content = read_bytes(path, most_bytes=most_bytes)
    return None if content is None else content.decode(errors="replace").strip()


def read_bytes(path: Path, *, most_bytes: int = MAX_BYTES) -> bytes | None:
    try:
        # not waiting on what is no plain file: a pipe, a device
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):  # a value error is a NUL in a path that came from another file
        return None
    try:
        parts = []
        room = most_bytes
        while room > 0 and (part := os.read(descriptor, room)):
            parts.append(part)
            room -= len(part)
    except OSError:  # sysfs attributes answer EBUSY, EIO, EPERM at the read
        return None
    finally:
        os.close(descriptor)
    return b"".join(parts)


def read_int(path: Path) -> int | None:
    return integer(read(path))


def read_count(path: Path) -> int | None:
    """A size or a count: what is below zero is no answer."""
    number = read_int(path)
    return number if number is not None and number >= 0 else None


def integer(text: str | None) -> int | None:
    """``"4096"`` -> 4096, ``"0x1586"`` -> 5510; ``"max"``, ``"N/A"`` and absurdly long numbers -> None."""
    if text is None or not NUMBER.fullmatch(text.strip()):
        return None
    return int(text, 0) if "x" in text else int(text)


def entries(folder: Path) -> list[str]:
    """Names in a folder, numbers in counting order (``hwmon2`` before ``hwmon10``); absent -> []."""
    try:
        return sorted((entry.name for entry in folder.iterdir()), key=_natural)
    except (OSError, ValueError):
        return []


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    return tuple((len(part), part) if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name))


def link_name(path: Path) -> str | None:
    """The last part of a symlink's target: the driver's name, the device behind a class entry."""
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


def stamp(paths: Iterable[Path]) -> tuple[int, ...]:
    """Times and sizes: what is read from these paths may be kept as long as this stays the same."""
    found: list[int] = []
    for path in paths:
        with suppress(OSError):
            stat = path.stat()
            found += (stat.st_mtime_ns, stat.st_size)
    return tuple(found)


def denied(path: Path) -> bool:
    """The file is there and this process may not read it: hidden, which is not absent.

    The first byte is asked for, because KFD's files open and then answer EPERM.
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


def fields(text: str | None) -> dict[str, str]:
    """``key value`` lines, as KFD, ``memory.stat`` and ``/proc/self/status`` have them."""
    pairs = (line.split(None, 1) for line in (text or "").splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
