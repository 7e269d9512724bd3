"""The bytes that each device has for a model; ``None`` if not known."""

from dataclasses import dataclass

from domain.hardware import Gpu, Hardware, MemoryKind
from domain.units import GIB, MIB


@dataclass(frozen=True, slots=True)
class Reserve:
    """Bytes that plans leave free. ``display_bytes`` is added on a GPU with a display attached, because
    windows open and close while a model is loaded."""

    host_bytes: int = 1 * GIB
    gpu_bytes: int = 512 * MIB
    display_bytes: int = 1 * GIB


DEFAULT_RESERVE = Reserve()


def host_free_bytes(hardware: Hardware) -> int | None:
    """The smaller of MemAvailable and what the control group allows."""
    memory = hardware.memory
    ram_bytes = memory.available_bytes if memory.available_bytes is not None else memory.total_bytes
    cgroup_bytes = memory.cgroup_available_bytes
    return _smallest(ram_bytes, memory.cgroup_limit_bytes if cgroup_bytes is None else cgroup_bytes)


def gpu_free_bytes(gpu: Gpu, hardware: Hardware) -> int | None:
    """A unified GPU has what the driver lets it map, at most what the host has free."""
    own_bytes = gpu.memory_free_bytes if gpu.memory_free_bytes is not None else gpu.memory_total_bytes
    if gpu.memory_kind is not MemoryKind.UNIFIED:
        return own_bytes
    return _smallest(own_bytes, host_free_bytes(hardware))


def _smallest(*limits: int | None) -> int | None:
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def gpu_budget_bytes(gpu: Gpu, hardware: Hardware, reserve: Reserve) -> int | None:
    """What a plan may take of this GPU."""
    free_bytes = gpu_free_bytes(gpu, hardware)
    if free_bytes is None:
        return None
    margin_bytes = reserve.host_bytes if gpu.memory_kind is MemoryKind.UNIFIED else reserve.gpu_bytes
    return max(0, free_bytes - margin_bytes - (reserve.display_bytes if gpu.display_attached else 0))


def host_budget_bytes(hardware: Hardware, reserve: Reserve) -> int | None:
    free_bytes = host_free_bytes(hardware)
    return None if free_bytes is None else max(0, free_bytes - reserve.host_bytes)
