"""The parts of a machine that are no accelerators: cores, NUMA nodes, memory modules, fans, power, disks."""

from dataclasses import dataclass
from enum import StrEnum


class StorageKind(StrEnum):
    """What a file system lies on. A VIRTUAL disk is a hypervisor's: what is below it can't be known."""

    NVME = "nvme"
    SSD = "ssd"
    HDD = "hdd"
    FLASH = "flash"
    VIRTUAL = "virtual"
    NETWORK = "network"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class CoreKind:
    """Cores that are alike. ``cpus`` are their logical CPUs as taskset(1) takes them: ``0-4,10-14``."""

    cpus: str
    cores: int
    name: str | None = None
    max_hz: float | None = None
    is_performance: bool | None = None


@dataclass(frozen=True, slots=True)
class NumaNode:
    """A part of the RAM and the CPUs that are near it; a node without CPUs (CXL) has ``cpus`` empty."""

    number: int
    cpus: str
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryModule:
    """One populated slot, or one soldered package. ``transfers_per_s`` is the speed it is configured for,
    which is not the one on its label; ``data_bits`` is its width without ECC."""

    locator: str
    total_bytes: int | None = None
    kind: str | None = None
    transfers_per_s: float | None = None
    data_bits: int | None = None


@dataclass(frozen=True, slots=True)
class Fan:
    """0 rpm is a reading: many fans stand still while it is cool."""

    sensor: str
    rpm: int
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Power:
    """What a device draws, or a package of CPU and all that is in it. ``limit_w`` is the cap in force."""

    sensor: str
    power_w: float
    limit_w: float | None = None
    device: str | None = None
