"""Who holds a state folder: the lock file of the daemon, with its pid and the socket on which it listens.

Both sides use it: the daemon writes, node-ctl reads where it finds no socket. Imports little.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

NAME = "lock"


@dataclass(frozen=True, slots=True)
class Instance:
    """``socket`` is where it listens, ``None`` while it starts; ``configured`` is the socket of its settings.
    ``pid`` is ``None`` where it did not write it yet."""

    pid: int | None
    socket: Path | None = None
    configured: Path | None = None


def running(state_dir: Path) -> Instance | None:
    """The daemon that holds ``state_dir``, ``None`` where none does or where the folder may not be read."""
    try:
        descriptor = os.open(state_dir / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # dropped at once, with the descriptor
    except BlockingIOError:
        return read(descriptor)
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)
    return None


def write(descriptor: int, instance: Instance) -> None:
    """A reader finds the old text or the new one, each from its first line on. Raises: OSError."""
    values = {"pid": instance.pid, "socket": instance.socket, "configured": instance.configured}
    lines = (f"{key} {value}\n" for key, value in values.items() if value is not None)
    content = os.fsencode("".join(lines))
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))


def read(descriptor: int) -> Instance:
    text = os.fsdecode(os.pread(descriptor, 8192, 0))
    values = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    pid, socket, configured = (values.get(key) for key in ("pid", "socket", "configured"))
    return Instance(
        int(pid) if pid and pid.isdecimal() else None,
        Path(socket) if socket else None,
        Path(configured) if configured else None,
    )
