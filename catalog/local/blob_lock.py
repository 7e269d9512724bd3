"""The hub client's own lock on a blob. Whoever downloads the blob holds it: we, hf, another daemon."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def lock_path(part: Path) -> Path:
    """Of ``blobs/<digest>``, and of every file that a download of it makes: ``<digest>.incomplete``."""
    name = part.name.split(".", 1)[0]
    if part.parent.name == "blobs":
        return part.parents[2] / ".locks" / part.parents[1].name / f"{name}.lock"
    return part.parents[2] / ".locks" / f"url--{part.parent.name}" / f"{name}.lock"


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether the lock is ours while the block runs. Without a file nobody downloads: then it is, too."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield True
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
