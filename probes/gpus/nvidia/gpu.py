"""One NVIDIA GPU out of NVML's answers, its card on the PCI bus and the device table. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.accelerator import PcieLink
from domain.catalogue_types import KnownGpu
from domain.hardware import BandwidthSource, Gpu, MemoryKind, Thermal
from domain.provenance import Certainty, Provenance
from probes.gpus import device_table, pci, pcie_link
from probes.gpus.nvidia.nvml import DeviceAnswers
from probes.gpus.pci import PciDevice
from probes.memory.ram import Meminfo
from probes.sensors import temperatures

# The GPU walks the CPU's page tables (nvmlDeviceAddressingMode_t); 1, HMM, is shown by plain cards, too
ADDRESSING_ATS = 2

# GB10, and the ids of its siblings in NVIDIA's driver, whose GPU works in the RAM of the CPU
UNIFIED_IDS = frozenset({"10de:2e12", "10de:2e03", "10de:2e06", "10de:2b00"})

# nvmlClocksEventReasons. The power cap (4) works as configured; idle (1), user's clocks (2), sync boost
# (0x10) and display clocks (0x100) are no faults. Bit 8 is the sum of the two after it.
IDLE = 0x1
MOST_MILLIWATTS = 10_000_000  # ten times a card's; what a driver fills in for "not known" is far above
HARDWARE_SLOWDOWN = 0x8
THROTTLES = {0x20: "sw_thermal", 0x40: "hw_thermal", 0x80: "hw_power_brake"}

SAID = """name memory_total_bytes memory_free_bytes memory_reserved_bytes arch driver uuid temperature_c
temperature_margin_c power_w power_limit_w power_default_w fan_percent fan_rpm persistence tenants peers"""
KIND = Provenance("nvml", Certainty.DERIVED, "memory of its own, the addressing mode, the PCI id")
TOLD = {
    **device_table.TOLD,
    **dict.fromkeys(("memory_kind", "is_integrated"), KIND),
    **dict.fromkeys(SAID.split(), Provenance("nvml")),
    "throttled_by": Provenance(
        "nvml", Certainty.DERIVED, "without idleness, power cap and an owner's clocks"
    ),
    "link": pcie_link.TOLD,
    "pcie_bytes_per_s": pcie_link.RATE_TOLD,
    "display_attached": Provenance("drm", note="else NVML's active display"),
}
RAM = "the RAM is its memory, and NVML tells none or a part of it"
UNIFIED_TOLD = {
    "memory_total_bytes": Provenance("meminfo", Certainty.DERIVED, RAM),
    "memory_free_bytes": Provenance(
        "meminfo", Certainty.DERIVED, "MemAvailable, or huge pages where they are set"
    ),
}
FROM_CLOCK = Provenance("nvml", Certainty.DERIVED, "2 x memory clock x bus width / 8")


@dataclass(frozen=True, slots=True)
class Host:
    """What the answers are joined with. ``tegra`` is a Jetson."""

    meminfo: Meminfo
    table: Sequence[KnownGpu]
    driver: str | None = None
    tegra: bool = False


def gpu(device: DeviceAnswers, index: int, card: PciDevice | None, host: Host) -> Gpu:
    said = device.values
    slot, pci_id = said.get("pci", (None, ""))
    unified = host.tegra or pci_id in UNIFIED_IDS or device_table.is_unified(host.table, pci_id)
    kind, total, free, reserved = memory(device, host.meminfo, unified=unified)
    row = device_table.match(host.table, pci_id, total_bytes=total)
    bandwidth = row.bandwidth_bytes_per_s if row else None
    bandwidth = bandwidth or _bandwidth(said.get("memory_clock_mhz"), said.get("memory_bus_bits"))
    capability = said.get("capability")
    found = Gpu(
        id=f"pci:{slot}" if slot else f"nvml:{index}",
        vendor="nvidia",
        name=said.get("name") or (row.name if row else f"NVIDIA {pci_id}".strip()),
        memory_kind=kind,
        memory_total_bytes=total,
        memory_free_bytes=free,
        memory_reserved_bytes=reserved,
        bandwidth_bytes_per_s=bandwidth,
        bandwidth_source=BandwidthSource.PEAK if bandwidth else None,
        arch="sm_{}{}".format(*capability) if capability else (row.arch if row else None),
        driver=f"nvidia {host.driver}" if host.driver else "nvidia",
        fp16_flops_per_s=row.fp16_flops_per_s if row else None,
        pci_id=pci_id or None,
        uuid=said.get("uuid"),
        is_integrated=kind is MemoryKind.UNIFIED if kind else None,
        display_attached=_display(device, card),
    )
    return _with_state(found, device, None if kind is MemoryKind.UNIFIED else _link(device, card))


def told(gpu: Gpu, host: Host) -> dict[str, Provenance]:
    """Who told what of a card: of its bandwidth the device table, if it has the card."""
    found = dict(TOLD)
    if gpu.memory_kind is MemoryKind.UNIFIED:
        found |= UNIFIED_TOLD
    row = device_table.match(host.table, gpu.pci_id or "", total_bytes=gpu.memory_total_bytes)
    if not (row and row.bandwidth_bytes_per_s):
        found["bandwidth_bytes_per_s"] = FROM_CLOCK
    return found


def _with_state(gpu: Gpu, device: DeviceAnswers, found: PcieLink | None) -> Gpu:
    """What changes from one look to the next."""
    said = device.values
    return replace(
        gpu,
        link=found,
        pcie_bytes_per_s=pcie_link.bytes_per_s(found),
        temperature_c=_temperature(device),
        temperature_margin_c=temperatures.plausible(said.get("temperature_margin_c")),
        power_w=_watts(said.get("power_mw")),
        power_limit_w=_watts(said.get("power_limit_mw")),
        power_default_w=_watts(said.get("power_default_mw")),
        fan_percent=said.get("fan_percent"),
        fan_rpm=said.get("fan_rpm"),
        persistence=bool(said["persistence"]) if "persistence" in said else None,
        throttled_by=throttles(said["throttle_reasons"]) if "throttle_reasons" in said else None,
    )


def partition(part: DeviceAnswers, index: int, card: Gpu) -> Gpu:
    """A MIG device: a share of its card's memory, and the same share of the bandwidth.

    A memory slice is an eighth of both (docs.nvidia.com/datacenter/tesla/mig-user-guide, concepts).
    """
    said = part.values
    total, free, reserved = _dedicated(part) or (None, None, None)
    share = total / card.memory_total_bytes if total and card.memory_total_bytes else None
    peak = card.bandwidth_bytes_per_s
    uuid = said.get("uuid")
    return replace(
        card,
        id=f"mig:{uuid}" if uuid else f"{card.id}:mig{index}",
        uuid=uuid,
        name=said.get("name") or f"{card.name}, partition {index}",
        parent=card.id,
        memory_kind=MemoryKind.DEDICATED if total else None,
        memory_total_bytes=total,
        memory_free_bytes=free,
        memory_reserved_bytes=reserved,
        bandwidth_bytes_per_s=peak * share if peak and share else None,
        bandwidth_source=BandwidthSource.PEAK if peak and share else None,
        fp16_flops_per_s=None,
        tenants=None,
        peers=(),
    )


def memory(
    device: DeviceAnswers, meminfo: Meminfo, *, unified: bool
) -> tuple[MemoryKind | None, int | None, int | None, int | None]:
    """Kind, total, free and reserved bytes; what NVML doesn't tell of a card of its own memory is unknown.

    A unified part has the RAM of the machine, whether NVML refuses (GB10), shows a carve-out (N1X) or
    shows the RAM. ATS alone proves nothing: Grace Hopper has it beside memory of its own.
    """
    own = _dedicated(device)
    if own and not unified:
        return MemoryKind.DEDICATED, *own
    if unified or device.values.get("addressing") == ADDRESSING_ATS:
        return MemoryKind.UNIFIED, meminfo.total_bytes, meminfo.unified_free_bytes, None
    return None, None, None, None


def _dedicated(device: DeviceAnswers) -> tuple[int, int | None, int | None] | None:
    for call in ("memory_v2", "memory_v1"):
        total, free, reserved = device.values.get(call, (0, 0, None))
        if total > 0:
            return total, free if 0 <= free <= total else None, reserved
    return None


def holders(device: DeviceAnswers) -> dict[int, int | None] | None:
    """Bytes by process id; a process that computes and draws is listed twice, with the same bytes."""
    lists = ("compute_processes", "graphics_processes")
    if not any(call in device.values for call in lists):
        return None
    found: dict[int, int | None] = {}
    for call in lists:
        for pid, size in device.values.get(call, ()):
            found[pid] = max(size or 0, found.get(pid) or 0) or None
    return found


def throttles(reasons: int) -> tuple[str, ...]:
    """Why the clocks are down that should not be; nothing of an idle card."""
    if reasons & IDLE:
        return ()
    named = tuple(name for bit, name in THROTTLES.items() if reasons & bit)
    return named or (("hw_slowdown",) if reasons & HARDWARE_SLOWDOWN else ())


def sensor(device: DeviceAnswers, place: str, gpu_id: str) -> Thermal | None:
    said = device.values
    limits = said.get("slowdown_c"), said.get("shutdown_c")
    return temperatures.thermal(f"nvidia/{place}/gpu", _temperature(device), *limits, device=gpu_id)


def _temperature(device: DeviceAnswers) -> float | None:
    said = device.values
    return temperatures.plausible(said.get("temperature_v", said.get("temperature")))


def _watts(milliwatts: int | None) -> float | None:
    return milliwatts / 1000 if milliwatts is not None and milliwatts < MOST_MILLIWATTS else None


def _bandwidth(clock_mhz: int | None, bus_bits: int | None) -> float | None:
    """2 x memory clock x bus width / 8: RTX 3090 9751 MHz x 384 bit = 936 GB/s, as its data sheet says."""
    return 2 * clock_mhz * 1e6 * bus_bits / 8 if clock_mhz and bus_bits else None


def _link(device: DeviceAnswers, card: PciDevice | None) -> PcieLink | None:
    """The bus tells more than NVML, which knows the card's own port and the generation of its slot, too: a
    virtual machine doesn't show the slot. WSL has no bus."""
    on_the_bus = pcie_link.probe(card) if card else None
    said = device.values
    most = said.get("pcie_generation")
    if on_the_bus is not None:
        known = [generation for generation in (on_the_bus.generation_max, most) if generation]
        return replace(on_the_bus, generation_max=min(known, default=None))
    if most is None:
        return None
    width, widest = said.get("pcie_width"), said.get("pcie_card_width")
    return PcieLink(
        generation_now=said.get("pcie_generation_now"),
        width_now=width,
        generation_max=most,
        width_max=widest or width,
        card_generation=said.get("pcie_card_generation"),
        card_width=widest,
    )


def _display(device: DeviceAnswers, card: PciDevice | None) -> bool | None:
    connected = pci.display_attached(card) if card else None
    if connected is None and "display_active" in device.values:
        return bool(device.values["display_active"])
    return connected
