"""One daemon per state folder: a lock that the kernel releases when its holder ends."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from config import instance
from config.instance import Instance
from domain.errors import BusyError, ConfigError

# node-ctl holds it, shared, for the moment in which it looks whether a daemon does.
TRIES = 20
BETWEEN_TRIES_S = 0.05


@contextmanager
def hold(state_dir: Path, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """The lock on ``state_dir`` while the block runs. The file remains; it holds the pid of its holder.

    Raises: BusyError with the holder's pid; ConfigError where the folder can't be written.
    """
    path = state_dir / instance.NAME
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="set state_dir to a writable folder") from error
    try:
        _lock(descriptor, state_dir, sleep)
        instance.write(descriptor, Instance(os.getpid()))
        yield
    finally:
        os.close(descriptor)


def tell_socket(state_dir: Path, socket: Path, configured: Path) -> None:
    """Writes where the holder listens, and where it should. Blocks. Raises: OSError."""
    descriptor = os.open(state_dir / instance.NAME, os.O_RDWR | os.O_CLOEXEC)
    try:
        instance.write(descriptor, Instance(os.getpid(), socket, configured))
    finally:
        os.close(descriptor)


def _lock(descriptor: int, state_dir: Path, sleep: Callable[[float], None]) -> None:
    """Raises: BusyError; ConfigError on a file system without locks, such as some of NFS."""
    for _ in range(TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sleep(BETWEEN_TRIES_S)
        except OSError as error:
            raise ConfigError(
                f"{state_dir} can't be locked: {error.strerror}",
                hint="set state_dir to a folder on a local disk",
            ) from error
        else:
            return
    holder = instance.read(descriptor)
    who = "an unknown process" if holder.pid is None else f"pid {holder.pid}"
    where = "" if holder.socket is None else f", which listens on {holder.socket}"
    raise BusyError(
        f"{state_dir} is in use by another node-daemon, {who}{where}",
        hint="node-ctl talks to that one; node-ctl shutdown ends it",
    )
