"""The bytes that each device has for a model; ``None`` if not known."""

from dataclasses import dataclass

from domain.machine.hardware import Gpu, Hardware, MemoryKind
from domain.units import GIB, MIB


@dataclass(frozen=True, slots=True)
class Reserve:
    """Bytes that plans leave free. ``host_bytes``: ``None`` for what the machine's kind needs
    (``host_reserve_bytes``). ``display_bytes`` is added on a GPU of its own memory with a display attached,
    because windows open and close while a model is loaded. ``max_ubatch``, ``small_cache`` (8 bits,
    where the engine can), ``few_sequences`` and ``no_graphs`` (of vLLM) hold plans to less where memory ran
    out before."""

    host_bytes: int | None = None
    gpu_bytes: int = 512 * MIB
    display_bytes: int = 1 * GIB
    max_ubatch: int | None = None
    small_cache: bool = False
    few_sequences: bool = False
    no_graphs: bool = False


DEFAULT_RESERVE = Reserve()

# Beyond what runs when a plan is made. A desktop with a browser grows by a few GiB, in a small machine by
# less, since it swaps or is used for less; without a display only services and shells come and go.
DESKTOP_BYTES = 2 * GIB
DESKTOP_SHARE = 1 / 8  # of the RAM, at most
HEADLESS_BYTES = 512 * MIB
UNKNOWN_BYTES = 1 * GIB


def has_display(hardware: Hardware) -> bool | None:
    """Also one on integrated graphics that no plan uses; ``None`` if not known of all GPUs."""
    attached = [gpu.display_attached for gpu in (*hardware.gpus, *hardware.set_aside)]
    if any(attached):
        return True
    return None if not attached or None in attached else False


def host_reserve_bytes(hardware: Hardware, reserve: Reserve) -> int:
    """RAM that a plan leaves free: as set, else by whether somebody works at this machine."""
    if reserve.host_bytes is not None:
        return reserve.host_bytes
    is_desktop = has_display(hardware)
    if is_desktop is None:
        return UNKNOWN_BYTES
    if not is_desktop:
        return HEADLESS_BYTES
    share_bytes = int(DESKTOP_SHARE * (hardware.memory.total_bytes or 0))
    return max(UNKNOWN_BYTES, min(DESKTOP_BYTES, share_bytes))


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
    return max(0, free_bytes - gpu_reserve_bytes(gpu, hardware, reserve))


def gpu_reserve_bytes(gpu: Gpu, hardware: Hardware, reserve: Reserve) -> int:
    """Where a GPU shares the RAM, that of the RAM."""
    if gpu.memory_kind is MemoryKind.UNIFIED:
        return host_reserve_bytes(hardware, reserve)
    return reserve.gpu_bytes + (reserve.display_bytes if gpu.display_attached else 0)


def host_budget_bytes(hardware: Hardware, reserve: Reserve) -> int | None:
    free_bytes = host_free_bytes(hardware)
    return None if free_bytes is None else max(0, free_bytes - host_reserve_bytes(hardware, reserve))
