"""Writes an event when the disk of the weights or of the state runs low on space, and when it recovers."""

import asyncio
import shutil
from pathlib import Path

from daemon.app import App
from domain.events import EventKind
from domain.units import gib


async def check_disks(app: App) -> None:
    low, limit = await asyncio.to_thread(low_disks, app), gib(app.settings.disk_low_bytes)
    for path in sorted(low.keys() - app.hardware_cache.low_disks):
        await app.events.append(EventKind.DISK_LOW, f"{path} has {gib(low[path])} free, less than {limit}")
    for path in sorted(app.hardware_cache.low_disks - low.keys()):
        await app.events.append(EventKind.DISK_OK, f"{path} has at least {limit} free again")
    app.hardware_cache.low_disks = set(low)


def low_disks(app: App) -> dict[str, int]:
    """Free bytes of each folder whose disk has less than ``disk_low_bytes`` free. Blocks."""
    free = {
        str(folder): shutil.disk_usage(existing_folder(folder)).free
        for folder in (app.settings.state_dir, app.settings.models_dir)
    }
    return {path: count for path, count in free.items() if count < app.settings.disk_low_bytes}


def existing_folder(folder: Path) -> Path:
    """The folder itself, or the first one above it that exists. Raises: OSError if that is not permitted."""
    return next(path for path in (folder, *folder.parents) if path.exists())
