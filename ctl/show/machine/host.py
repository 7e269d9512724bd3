"""Texts for the parts of a machine other than accelerators."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from domain.machine.hardware import Cpu, Hardware, Memory, Storage, Thermal
from domain.machine.host import CoreKind, MemoryModule
from domain.units import gb_per_s, gib

MAX_SENSORS = 4  # of one device; of more only the hottest is shown


def cpu_text(cpu: Cpu) -> str:
    words = [cpu.model or "unknown model", f"{_count(cpu.physical_cores)} cores"]
    if len(cpu.kinds) > 1:
        words += [_kind(kind) for kind in cpu.kinds]
    elif cpu.performance_cores is not None and cpu.performance_cores != cpu.physical_cores:
        words.append(f"{cpu.performance_cores} of them fast")
    if cpu.usable_cpus is not None and cpu.usable_cpus != cpu.logical_cpus:
        words.append(f"{cpu.usable_cpus} of {_count(cpu.logical_cpus)} CPUs usable")
    if cpu.quota_cpus is not None:
        words.append(f"limited to {cpu.quota_cpus:g} CPUs")
    if cpu.temperature_c is not None:
        words.append(f"{cpu.temperature_c:.0f} °C")
    if cpu.power_w is not None:
        words.append(f"{cpu.power_w:.0f} W")
    if cpu.throttled_count:
        words.append(f"throttled for heat {cpu.throttled_count} times since boot")
    if cpu.isa:
        words.append(" ".join(cpu.isa))
    return ", ".join(words)


def _kind(kind: CoreKind) -> str:
    name = kind.name or ("fast" if kind.is_performance else "slow")
    clock = f" up to {kind.max_hz / 1e9:.1f} GHz" if kind.max_hz else ""
    return f"{kind.cores} x {name}{clock} (CPUs {kind.cpus})"


def memory_text(memory: Memory) -> str:
    words = [f"{gib(memory.available_bytes)} of {gib(memory.total_bytes)} available"]
    if memory.arc_reclaimable_bytes:
        words.append(f"{gib(memory.arc_reclaimable_bytes)} of it in ZFS's cache, which gives it back")
    if memory.bandwidth_bytes_per_s is not None:
        words.append(f"{gb_per_s(memory.bandwidth_bytes_per_s)} {memory.bandwidth_source or ''}".rstrip())
    peak = memory.peak_bandwidth_bytes_per_s
    if peak is not None and peak != memory.bandwidth_bytes_per_s:
        words.append(f"{gb_per_s(peak)} at most")
    if memory.modules:
        words.append(_modules(memory.modules))
    if memory.carve_out_bytes:
        words.append(f"{gib(memory.carve_out_bytes)} more reserved for the GPU")
    if memory.cgroup_limit_bytes is not None:
        words.append(f"limited to {gib(memory.cgroup_limit_bytes)}")
    if memory.memlock_limit_bytes is not None:
        words.append(f"mlock up to {gib(memory.memlock_limit_bytes)}")
    return ", ".join(words)


def _modules(modules: tuple[MemoryModule, ...]) -> str:
    """``2 x 32.0 GiB DDR5 at 5600 MT/s``."""
    kinds = Counter((module.total_bytes, module.kind, module.transfers_per_s) for module in modules)
    words = []
    for (size, kind, speed), count in kinds.items():
        rate = f" at {speed / 1e6:.0f} MT/s" if speed else ""
        words.append(f"{count} x {gib(size)}{f' {kind}' if kind else ''}{rate}")
    return " + ".join(words)


def other_memory_rows(hardware: Hardware) -> Iterator[tuple[str, str]]:
    """Heads and texts of what many machines lack: swap, reserved huge pages, several NUMA nodes."""
    memory = hardware.memory
    if memory.swap_total_bytes:
        yield "swap", f"{gib(memory.swap_free_bytes)} of {gib(memory.swap_total_bytes)} free"
    if memory.zram_total_bytes:
        free = f"{gib(memory.zram_free_bytes)} of {gib(memory.zram_total_bytes)} free"
        yield "zram", f"{free}, before compression; it adds no memory"
    if memory.hugepages_total_bytes:
        free = f"{gib(memory.hugepages_free_bytes)} of {gib(memory.hugepages_total_bytes)} free"
        yield "pages", f"{free}, reserved as huge pages and not part of the available memory"
    if len(hardware.cpu.numa) > 1:
        for node in hardware.cpu.numa:
            free = f"{gib(node.memory_free_bytes)} of {gib(node.memory_total_bytes)} free"
            yield "NUMA", f"node {node.number}: {free}, {f'CPUs {node.cpus}' if node.cpus else 'no CPUs'}"


def sensor_rows(hardware: Hardware) -> Iterator[tuple[str, str]]:
    for _, group in groupby(hardware.thermals, lambda sensor: sensor.sensor.rpartition("/")[0]):
        yield from (("heat", text) for text in _heat(list(group)))
    for fan in hardware.fans:
        yield "fan", f"{fan.sensor} {fan.rpm} rpm"
    for power in hardware.power:
        limit = f" of {power.limit_w:.0f} W" if power.limit_w is not None else " W"
        yield "power", f"{power.sensor} {power.power_w:.0f}{limit}"


def _heat(sensors: list[Thermal]) -> Iterator[str]:
    """Of a device with many sensors, such as one per core, only the hottest."""
    many = len(sensors) > MAX_SENSORS
    shown = [max(sensors, key=lambda sensor: sensor.temperature_c)] if many else sensors
    for sensor in shown:
        limit = f", critical at {sensor.critical_c:.0f} °C" if sensor.critical_c is not None else ""
        others = f", the hottest of {len(sensors)}" if many else ""
        yield f"{sensor.sensor} {sensor.temperature_c:.0f} °C{limit}{others}"


def storage_text(storage: Storage | None) -> str:
    if storage is None:
        return "unknown"
    words = [f"{gib(storage.free_bytes)} free at {storage.path}"]
    if storage.filesystem is not None:
        device = f" on {storage.device}" if storage.device else ""
        kind = f" ({storage.device_kind})" if storage.device_kind else ""
        words.append(f"{storage.filesystem}{device}{kind}")
    if storage.read_bytes_per_s is not None:
        words.append(f"reads {gb_per_s(storage.read_bytes_per_s)}")
    return ", ".join(words)


def _count(count: int | None) -> str:
    return "?" if count is None else str(count)
