"""One daemon per state folder: a lock that the kernel releases when its holder ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import BusyError, ConfigError


@contextmanager
def hold(state_dir: Path) -> Iterator[None]:
    """The lock on ``state_dir`` while the block runs. The file remains; it holds the pid of its holder.

    Raises: BusyError with the holder's pid; ConfigError where the folder can't be written.
    """
    path = state_dir / "lock"
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="set state_dir to a writable folder") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip() or "an unknown process"
            raise BusyError(
                f"{state_dir} is in use by another node-daemon, {holder}",
                hint="node-ctl talks to that one; node-ctl shutdown ends it",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
