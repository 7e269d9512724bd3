"""The parts of a machine other than accelerators: cores, NUMA nodes, memory modules, fans, power, disks."""

from dataclasses import dataclass
from enum import StrEnum


class StorageKind(StrEnum):
    """The device of a file system. VIRTUAL is a hypervisor's disk, whose real device is unknown."""

    NVME = "nvme"
    SSD = "ssd"
    HDD = "hdd"
    FLASH = "flash"
    VIRTUAL = "virtual"
    NETWORK = "network"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class CoreKind:
    """Cores of one kind. ``cpus`` are their logical CPUs in the format of taskset(1): ``0-4,10-14``."""

    cpus: str
    cores: int
    name: str | None = None
    max_hz: float | None = None
    is_performance: bool | None = None


@dataclass(frozen=True, slots=True)
class NumaNode:
    """A part of the RAM and the CPUs that are local to it; ``cpus`` is empty for a node without any (CXL)."""

    number: int
    cpus: str
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryModule:
    """One populated slot, or one soldered package. ``transfers_per_s`` is the configured speed, which may
    differ from that on its label; ``data_bits`` is its width without ECC."""

    locator: str
    total_bytes: int | None = None
    kind: str | None = None
    transfers_per_s: float | None = None
    data_bits: int | None = None


@dataclass(frozen=True, slots=True)
class Fan:
    """0 rpm is a valid reading: many fans stop while the device is cool."""

    sensor: str
    rpm: int
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Power:
    """The power of a device, or of a whole CPU package. ``limit_w`` is the limit in force."""

    sensor: str
    power_w: float
    limit_w: float | None = None
    device: str | None = None
