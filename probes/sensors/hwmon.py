"""The chips of hwmon, device by device: two cards have one driver, so a name alone tells them not apart.

Chips of a device that sleeps are left out: reading their files wakes it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from probes import sysfs
from probes.gpus import pci


@dataclass(frozen=True, slots=True)
class Chip:
    """``device`` is the kernel's name of what the chip belongs to: a PCI slot, ``nvme0``, ``coretemp.0``."""

    folder: Path
    driver: str
    device: str
    entries: tuple[str, ...]

    @property
    def owner(self) -> str:
        """The id of the GPU it may be, or the name of the device."""
        return f"pci:{self.device}" if pci.SLOT.fullmatch(self.device) else self.device

    def channels(self, pattern: re.Pattern[str]) -> Iterator[str]:
        """``temp1`` for each entry that is matched, such as ``temp1_input``."""
        return (entry.rpartition("_")[0] for entry in self.entries if pattern.fullmatch(entry))

    def sensor(self, channel: str) -> str:
        """``amdgpu/0000:03:00.0/junction``: by its label, or by the channel where it has none."""
        label = sysfs.read(self.folder / f"{channel}_label") or channel
        return f"{self.driver}/{self.device}/{label}"

    def read(self, name: str) -> int | None:
        return sysfs.read_int(self.folder / name) if name in self.entries else None


def probe(root: Path) -> tuple[Chip, ...]:
    folders = (root / "sys/class/hwmon" / name for name in sysfs.entries(root / "sys/class/hwmon"))
    return tuple(_chip(folder) for folder in folders if not _asleep(folder / "device"))


def _chip(folder: Path) -> Chip:
    driver = sysfs.read(folder / "name") or "hwmon"
    device = sysfs.link_name(folder / "device") or folder.name
    return Chip(folder, driver, device, tuple(sysfs.entries(folder)))


def _asleep(device: Path) -> bool:
    """A drive's chip hangs on its nvme device, and that on the PCI device which sleeps."""
    return pci.asleep(device) or pci.asleep(device / "device")
