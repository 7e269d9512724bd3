"""The chips of hwmon, by device: two cards have the same driver, so its name does not identify a chip.

Chips of a sleeping device are left out, because reading their files wakes it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from probes import sysfs
from probes.gpus import pci


@dataclass(frozen=True, slots=True)
class Chip:
    """``device`` is the kernel's name of the chip's device: a PCI slot, ``nvme0``, ``coretemp.0``."""

    folder: Path
    driver: str
    device: str
    entries: tuple[str, ...]

    @property
    def device_id(self) -> str:
        """The id of a GPU for a PCI device, else the kernel's name of the device."""
        return f"pci:{self.device}" if pci.SLOT.fullmatch(self.device) else self.device

    def channels(self, pattern: re.Pattern[str]) -> Iterator[str]:
        """``temp1`` for each entry that matches, such as ``temp1_input``."""
        return (entry.rpartition("_")[0] for entry in self.entries if pattern.fullmatch(entry))

    def sensor_name(self, channel: str) -> str:
        """``amdgpu/0000:03:00.0/junction``, with the channel in place of a label if it has none."""
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
    """A drive's chip belongs to its nvme device, and that to the PCI device which may sleep."""
    return pci.is_asleep(device) or pci.is_asleep(device / "device")
