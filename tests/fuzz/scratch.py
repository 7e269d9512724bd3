"""Folders in memory, for inputs that the product reads as files."""

import atexit
import shutil
from pathlib import Path
from tempfile import mkdtemp

SHARED_MEMORY = Path("/dev/shm")
_folders: list[Path] = []


def scratch(name: str) -> Path:
    """An empty folder, removed when this process ends."""
    folder = Path(mkdtemp(prefix=f"fuzz-{name}-", dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))
    _folders.append(folder)
    return folder


@atexit.register
def remove_all() -> None:
    """Also to be called before ``os._exit``, which calls nothing."""
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)
