"""Processes that have opened a DRM device, and how much of its memory each of them holds.

Keys: Linux Documentation/gpu/drm-usage-stats.rst. Only files of processes that this user may inspect can be
read: all of them as root, else the user's own.
"""

import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from probes import sysfs

DEVICES = "/dev/dri/"
SLOT = re.compile(r"^drm-pdev:\s*(\S+)", re.MULTILINE)
CLIENT = re.compile(r"^drm-client-id:\s*(\d{1,20})", re.MULTILINE)
# amdgpu's own key and the common one that replaces it; xe calls a card's memory vram0, i915 local0. gtt is
# mapped RAM: the memory of an APU, and not part of a card's
MEMORY = re.compile(
    r"^drm-(?:memory|resident)-((?:vram|gtt|local)\d*):\s*(\d{1,20})\s*(KiB|MiB)?", re.MULTILINE
)
MAPPED = "gtt"
UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2}

DrmMemory = dict[str, dict[int, int | None]]  # bytes by PCI slot, then by process id


def probe(root: Path, slots: Collection[str], apu_slots: Collection[str] = ()) -> DrmMemory:
    """``apu_slots`` are those of GPUs whose memory is the RAM."""
    memory: DrmMemory = {slot: {} for slot in slots}
    counted: set[tuple[str, str]] = set()  # child processes inherit descriptors of the same client
    for process in _entries(root / "proc") if memory else ():
        if not process.name.isdecimal():
            continue
        pid = int(process.name)
        for text in _fdinfos(process.path):
            slot, client, own_bytes, mapped_bytes = parse(text)
            if slot in memory and (slot, client) not in counted:
                counted.add((slot, client))
                size = own_bytes + (mapped_bytes if slot in apu_slots else 0)
                memory[slot][pid] = (memory[slot].get(pid) or 0) + size
    return {slot: {pid: size for pid, size in sizes.items() if size} for slot, sizes in memory.items()}


def parse(text: str) -> tuple[str, str, int, int]:
    """PCI slot, client id, bytes of the card's own memory, bytes of mapped RAM."""
    slot, client = SLOT.search(text), CLIENT.search(text)
    sizes = {region: int(size) * UNITS[unit] for region, size, unit in MEMORY.findall(text)}
    mapped = sizes.pop(MAPPED, 0)
    return slot[1].lower() if slot else "", client[1] if client else "", sum(sizes.values()), mapped


def _fdinfos(process: str) -> list[str]:
    texts = []
    for descriptor in _entries(Path(process, "fd")):
        with suppress(OSError):  # closed in the meantime
            # a desktop has ten thousand descriptors: a Path for each would be slow
            if os.readlink(descriptor.path).startswith(DEVICES):  # noqa: PTH115
                texts.append(sysfs.read(Path(process, "fdinfo", descriptor.name)) or "")
    return texts


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
