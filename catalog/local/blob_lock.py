"""The hub client's own lock on a blob. Whoever downloads the blob holds it: we, hf, another daemon."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})


def lock_path(part: Path) -> Path:
    """Of ``blobs/<digest>``, and of every file that a download of it makes: ``<digest>.incomplete``."""
    name = part.name.split(".", 1)[0]
    if part.parent.name == "blobs":
        return part.parents[2] / ".locks" / part.parents[1].name / f"{name}.lock"
    return part.parents[2] / ".locks" / f"url--{part.parent.name}" / f"{name}.lock"


def try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool | None:
    """Whether the lock of an open file or folder was free, and is held now, until it is closed; ``None`` on a
    file system without locks, where nobody can tell."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether this process holds the lock while the block runs; true if there is no lock file, because then
    nobody downloads the blob."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield True
        return
    try:
        yield try_lock(descriptor) is not False
    finally:
        os.close(descriptor)
