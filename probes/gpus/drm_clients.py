"""Processes that have opened a DRM device, and the memory of the card that each of them has.

The kernel's Documentation/gpu/drm-usage-stats.rst tells the keys. Only the files of processes that this user
may look into can be read: as root all, else one's own.
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
# RAM that is mapped: the memory of an APU, and none of a card's
MEMORY = re.compile(
    r"^drm-(?:memory|resident)-((?:vram|gtt|local)\d*):\s*(\d{1,20})\s*(KiB|MiB)?", re.MULTILINE
)
MAPPED = "gtt"
UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2}

Held = dict[str, dict[int, int | None]]


def probe(root: Path, slots: Collection[str], sharing: Collection[str] = ()) -> Held:
    """Bytes by slot of the card, then by process id. ``sharing`` are the slots whose memory is the RAM."""
    held: Held = {slot: {} for slot in slots}
    seen: set[tuple[str, str]] = set()  # one client has as many descriptors as were inherited of it
    for process in _entries(root / "proc") if held else ():
        if not process.name.isdecimal():
            continue
        for text in _descriptors(process.path):
            slot, client, own, mapped = parse(text)
            if slot in held and (slot, client) not in seen:
                seen.add((slot, client))
                size = own + (mapped if slot in sharing else 0)
                held[slot][int(process.name)] = (held[slot].get(int(process.name)) or 0) + size
    return {slot: {pid: size for pid, size in users.items() if size} for slot, users in held.items()}


def parse(text: str) -> tuple[str, str, int, int]:
    """The slot of the card, the client's number, its bytes of the card's own memory and of mapped RAM."""
    slot, client = SLOT.search(text), CLIENT.search(text)
    sizes = {region: int(size) * UNITS[unit] for region, size, unit in MEMORY.findall(text)}
    mapped = sizes.pop(MAPPED, 0)
    return slot[1].lower() if slot else "", client[1] if client else "", sum(sizes.values()), mapped


def _descriptors(process: str) -> list[str]:
    texts = []
    for descriptor in _entries(Path(process, "fd")):
        with suppress(OSError):  # closed meanwhile
            # a desktop has ten thousand of them: no Path for each
            if os.readlink(descriptor.path).startswith(DEVICES):  # noqa: PTH115
                texts.append(sysfs.read(Path(process, "fdinfo", descriptor.name)) or "")
    return texts


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
