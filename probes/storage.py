"""The file system that holds, or will hold, the weights."""

import os
from pathlib import Path

from domain.hardware import Problem, Storage


def probe(models_dir: Path) -> tuple[Storage, tuple[Problem, ...]]:
    """Free bytes are those of an ordinary user: without what is reserved for root."""
    try:
        stat = os.statvfs(_nearest(models_dir))
    except (OSError, ValueError) as error:
        problem = Problem("storage", f"{models_dir}: {error}", "set models_dir to a folder of a local disk")
        return Storage(str(models_dir)), (problem,)
    unit = stat.f_frsize
    return Storage(str(models_dir), stat.f_bavail * unit, stat.f_blocks * unit), ()


def _nearest(path: Path) -> Path:
    """The folder itself or the first one above it that exists: it may not have been made yet."""
    path = path.absolute()
    return next((parent for parent in (path, *path.parents) if os.access(parent, os.F_OK)), path)
