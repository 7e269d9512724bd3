"""The file system that holds, or will hold, the weights."""

import os
from pathlib import Path

from domain.hardware import Problem, Storage
from domain.told import Told
from probes.found import Answer

TOLD = {
    "path": Told("settings", note="models_dir"),
    "free_bytes": Told("statvfs", note="for an ordinary user: without what is reserved for root"),
    "total_bytes": Told("statvfs"),
}


def probe(models_dir: Path) -> Answer[Storage]:
    try:
        stat = os.statvfs(_nearest(models_dir))
    except (OSError, ValueError) as error:
        problem = Problem("storage", f"{models_dir}: {error}", "set models_dir to a folder of a local disk")
        return Answer(Storage(str(models_dir)), (problem,), TOLD)
    unit = stat.f_frsize
    return Answer(Storage(str(models_dir), stat.f_bavail * unit, stat.f_blocks * unit), told=TOLD)


def _nearest(path: Path) -> Path:
    """The folder itself or the first one above it that exists: it may not have been made yet."""
    path = path.absolute()
    return next((parent for parent in (path, *path.parents) if os.access(parent, os.F_OK)), path)
