"""How many bytes each device has for a model. Unknown stays ``None``."""

from dataclasses import dataclass

from domain.hardware import Gpu, Hardware, MemoryKind
from domain.units import GIB, MIB


@dataclass(frozen=True, slots=True)
class Reserve:
    """Bytes that plans leave free. ``display_bytes`` is added where a screen hangs on the GPU: windows
    come and go while a model stays."""

    host_bytes: int = 1 * GIB
    gpu_bytes: int = 512 * MIB
    display_bytes: int = 1 * GIB


DEFAULT_RESERVE = Reserve()


def host_free_bytes(hardware: Hardware) -> int | None:
    """The tightest of MemAvailable and the control group's limit."""
    memory = hardware.memory
    parts = [memory.available_bytes if memory.available_bytes is not None else memory.total_bytes]
    parts.append(
        memory.cgroup_available_bytes
        if memory.cgroup_available_bytes is not None
        else memory.cgroup_limit_bytes
    )
    known = [part for part in parts if part is not None]
    return min(known) if known else None


def gpu_free_bytes(gpu: Gpu, hardware: Hardware) -> int | None:
    """A unified GPU has what the driver lets it map, and never more than the host has free."""
    own = gpu.memory_free_bytes if gpu.memory_free_bytes is not None else gpu.memory_total_bytes
    if gpu.memory_kind is not MemoryKind.UNIFIED:
        return own
    pool = host_free_bytes(hardware)
    known = [part for part in (own, pool) if part is not None]
    return min(known) if known else None


def room_bytes(gpu: Gpu, hardware: Hardware, reserve: Reserve) -> int | None:
    """What a plan may take of this GPU."""
    free = gpu_free_bytes(gpu, hardware)
    if free is None:
        return None
    margin = reserve.host_bytes if gpu.memory_kind is MemoryKind.UNIFIED else reserve.gpu_bytes
    return max(0, free - margin - (reserve.display_bytes if gpu.display_attached else 0))


def host_room_bytes(hardware: Hardware, reserve: Reserve) -> int | None:
    free = host_free_bytes(hardware)
    return None if free is None else max(0, free - reserve.host_bytes)
