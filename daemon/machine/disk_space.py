"""Says when the disk of the weights or of the state runs low, once, and when it is well again."""

import asyncio
import shutil
from pathlib import Path

from daemon.app import Node
from domain.units import gib


async def watch(node: Node) -> None:
    low = await asyncio.to_thread(low_disks, node)
    for path in sorted(low.keys() - node.seen.low_disks):
        await node.diary.write("disk_low", f"{path} has {gib(low[path])} free")
    for path in sorted(node.seen.low_disks - low.keys()):
        await node.diary.write("disk_well", f"{path} has room again")
    node.seen.low_disks = set(low)


def low_disks(node: Node) -> dict[str, int]:
    """Folders on disks with less than ``disk_low_bytes`` free, with what they have. Blocks."""
    free = {
        str(folder): shutil.disk_usage(existing(folder)).free
        for folder in (node.settings.state_dir, node.settings.models_dir)
    }
    return {path: count for path, count in free.items() if count < node.settings.disk_low_bytes}


def existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
