"""Builds a ``Gpu`` from an NVML report, the card on the PCI bus and the device table. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.machine.accelerator import PcieLink
from domain.machine.hardware import BandwidthSource, Gpu, MemoryKind, Thermal
from domain.machine.provenance import Certainty, Provenance
from domain.models.catalogue_types import KnownGpu
from probes.gpus import device_table, pci, pcie_link
from probes.gpus.nvidia.nvml import DeviceReport
from probes.gpus.pci import PciDevice
from probes.memory.ram import Meminfo
from probes.sensors import temperatures

# The GPU walks the CPU's page tables (nvmlDeviceAddressingMode_t). Plain cards report 1, HMM, too
ADDRESSING_ATS = 2

# GB10 and the ids of its siblings in NVIDIA's driver: the RAM of the CPU is their memory
UNIFIED_IDS = frozenset({"10de:2e12", "10de:2e03", "10de:2e06", "10de:2b00"})

MAX_MILLIWATTS = 10_000_000  # ten times a card's; the driver's value for "unknown" is far above

# nvmlClocksEventReasons. The power cap (4) works as configured; idle (1), the user's clocks (2), sync boost
# (0x10) and display clocks (0x100) are no faults. HARDWARE_SLOWDOWN is the sum of the two bits after it
IDLE = 0x1
HARDWARE_SLOWDOWN = 0x8
THROTTLE_BITS = {0x20: "sw_thermal", 0x40: "hw_thermal", 0x80: "hw_power_brake"}

NVML_FIELDS = (
    "name", "memory_total_bytes", "memory_free_bytes", "memory_reserved_bytes", "arch", "driver", "uuid",
    "temperature_c", "temperature_margin_c", "power_w", "power_limit_w", "power_default_w", "fan_percent",
    "fan_rpm", "persistence", "tenants", "peers",
)  # fmt: skip
MEMORY_KIND_SOURCE = Provenance(
    "nvml", Certainty.DERIVED, "memory of its own, the addressing mode, the PCI id"
)
SOURCES = {
    **device_table.SOURCES,
    **dict.fromkeys(("memory_kind", "is_integrated"), MEMORY_KIND_SOURCE),
    **dict.fromkeys(NVML_FIELDS, Provenance("nvml")),
    "throttled_by": Provenance(
        "nvml", Certainty.DERIVED, "without idleness, power cap and clocks that the owner set"
    ),
    "link": pcie_link.SOURCE,
    "pcie_bytes_per_s": pcie_link.RATE_SOURCE,
    "display_attached": Provenance("drm", note="else NVML's active display"),
}
UNIFIED_SOURCES = {
    "memory_total_bytes": Provenance(
        "meminfo", Certainty.DERIVED, "its memory is the RAM, of which NVML reports none or a part"
    ),
    "memory_free_bytes": Provenance(
        "meminfo", Certainty.DERIVED, "MemAvailable, or free huge pages if any are reserved"
    ),
}
CLOCK_SOURCE = Provenance("nvml", Certainty.DERIVED, "2 x memory clock x bus width / 8")


@dataclass(frozen=True, slots=True)
class CardContext:
    """What each report is combined with. ``tegra``: the machine is a Jetson."""

    meminfo: Meminfo
    known_gpus: Sequence[KnownGpu]
    driver: str | None = None
    tegra: bool = False


def build_gpu(report: DeviceReport, index: int, card: PciDevice | None, context: CardContext) -> Gpu:
    values = report.values
    slot, pci_id = values.get("pci", (None, ""))
    in_table = device_table.is_unified(context.known_gpus, pci_id)
    unified = context.tegra or pci_id in UNIFIED_IDS or bool(in_table)
    kind, total, free, reserved = memory_figures(report, context.meminfo, unified=unified)
    row = device_table.match(context.known_gpus, pci_id, total_bytes=total)
    bandwidth = row.bandwidth_bytes_per_s if row else None
    bandwidth = bandwidth or _bandwidth(values.get("memory_clock_mhz"), values.get("memory_bus_bits"))
    capability = values.get("capability")
    gpu = Gpu(
        id=f"pci:{slot}" if slot else f"nvml:{index}",
        vendor="nvidia",
        name=values.get("name") or (row.name if row else f"NVIDIA {pci_id}".strip()),
        memory_kind=kind,
        memory_total_bytes=total,
        memory_free_bytes=free,
        memory_reserved_bytes=reserved,
        bandwidth_bytes_per_s=bandwidth,
        bandwidth_source=BandwidthSource.PEAK if bandwidth else None,
        arch="sm_{}{}".format(*capability) if capability else (row.arch if row else None),
        driver=f"nvidia {context.driver}" if context.driver else "nvidia",
        fp16_flops_per_s=row.fp16_flops_per_s if row else None,
        pci_id=pci_id or None,
        uuid=values.get("uuid"),
        is_integrated=kind is MemoryKind.UNIFIED if kind else None,
        display_attached=_display(report, card),
    )
    return _with_state(gpu, report, None if kind is MemoryKind.UNIFIED else _link(report, card))


def sources_of(gpu: Gpu, context: CardContext) -> dict[str, Provenance]:
    sources = dict(SOURCES)
    if gpu.memory_kind is MemoryKind.UNIFIED:
        sources |= UNIFIED_SOURCES
    row = device_table.match(context.known_gpus, gpu.pci_id or "", total_bytes=gpu.memory_total_bytes)
    if not (row and row.bandwidth_bytes_per_s):
        sources["bandwidth_bytes_per_s"] = CLOCK_SOURCE
    return sources


def _with_state(gpu: Gpu, report: DeviceReport, link: PcieLink | None) -> Gpu:
    """``gpu`` with the values that change from one snapshot to the next."""
    values = report.values
    reasons = values.get("throttle_reasons")
    return replace(
        gpu,
        link=link,
        pcie_bytes_per_s=pcie_link.bytes_per_s(link),
        temperature_c=_temperature(report),
        temperature_margin_c=temperatures.plausible_c(values.get("temperature_margin_c")),
        power_w=_watts(values.get("power_mw")),
        power_limit_w=_watts(values.get("power_limit_mw")),
        power_default_w=_watts(values.get("power_default_mw")),
        fan_percent=values.get("fan_percent"),
        fan_rpm=values.get("fan_rpm"),
        persistence=bool(values["persistence"]) if "persistence" in values else None,
        throttled_by=None if reasons is None else throttle_reasons(reasons),
    )


def build_partition(report: DeviceReport, index: int, card: Gpu) -> Gpu:
    """A MIG device: a share of its card's memory, and the same share of the bandwidth.

    A memory slice is an eighth of both (docs.nvidia.com/datacenter/tesla/mig-user-guide, concepts).
    """
    values = report.values
    total, free, reserved = _own_memory(report) or (None, None, None)
    share = total / card.memory_total_bytes if total and card.memory_total_bytes else None
    peak = card.bandwidth_bytes_per_s
    uuid = values.get("uuid")
    return replace(
        card,
        id=f"mig:{uuid}" if uuid else f"{card.id}:mig{index}",
        uuid=uuid,
        name=values.get("name") or f"{card.name}, partition {index}",
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


def memory_figures(
    report: DeviceReport, meminfo: Meminfo, *, unified: bool
) -> tuple[MemoryKind | None, int | None, int | None, int | None]:
    """Kind, total, free and reserved bytes. Unknown if NVML does not report the memory of a dedicated card.

    A unified GPU has the RAM of the machine, whether NVML reports nothing (GB10), a carve-out (N1X) or the
    RAM. ATS alone proves nothing: Grace Hopper has it beside memory of its own.
    """
    own = _own_memory(report)
    if own and not unified:
        return MemoryKind.DEDICATED, *own
    if unified or report.values.get("addressing") == ADDRESSING_ATS:
        return MemoryKind.UNIFIED, meminfo.total_bytes, meminfo.unified_free_bytes, None
    return None, None, None, None


def _own_memory(report: DeviceReport) -> tuple[int, int | None, int | None] | None:
    for call in ("memory_v2", "memory_v1"):
        total, free, reserved = report.values.get(call, (0, 0, None))
        if total > 0:
            return total, free if 0 <= free <= total else None, reserved
    return None


def process_memory(report: DeviceReport) -> dict[int, int | None] | None:
    """Bytes by process id. A process that computes and draws is in both lists, with the same bytes."""
    calls = ("compute_processes", "graphics_processes")
    if not any(call in report.values for call in calls):
        return None
    memory: dict[int, int | None] = {}
    for call in calls:
        for pid, size in report.values.get(call, ()):
            memory[pid] = max(size or 0, memory.get(pid) or 0) or None
    return memory


def throttle_reasons(reasons: int) -> tuple[str, ...]:
    """Faults that hold the clocks down; none of an idle card."""
    if reasons & IDLE:
        return ()
    names = tuple(name for bit, name in THROTTLE_BITS.items() if reasons & bit)
    return names or (("hw_slowdown",) if reasons & HARDWARE_SLOWDOWN else ())


def temperature_sensor(report: DeviceReport, location: str, gpu_id: str) -> Thermal | None:
    limits_c = report.values.get("slowdown_c"), report.values.get("shutdown_c")
    name = f"nvidia/{location}/gpu"
    return temperatures.build_thermal(name, _temperature(report), *limits_c, device=gpu_id)


def _temperature(report: DeviceReport) -> float | None:
    values = report.values
    return temperatures.plausible_c(values.get("temperature_v", values.get("temperature")))


def _watts(milliwatts: int | None) -> float | None:
    return milliwatts / 1000 if milliwatts is not None and milliwatts < MAX_MILLIWATTS else None


def _bandwidth(clock_mhz: int | None, bus_bits: int | None) -> float | None:
    """2 x memory clock x bus width / 8: RTX 3090 9751 MHz x 384 bit = 936 GB/s, as in its data sheet."""
    return 2 * clock_mhz * 1e6 * bus_bits / 8 if clock_mhz and bus_bits else None


def _link(report: DeviceReport, card: PciDevice | None) -> PcieLink | None:
    """From the PCI bus, which reports more than NVML, limited by the generation that NVML reports: NVML
    knows that of the slot even in a virtual machine. From NVML alone under WSL, which has no bus."""
    link = pcie_link.probe(card) if card else None
    values = report.values
    generation = values.get("pcie_generation")
    if link is not None:
        known = [known for known in (link.generation_max, generation) if known]
        return replace(link, generation_max=min(known, default=None))
    if generation is None:
        return None
    width, card_width = values.get("pcie_width"), values.get("pcie_card_width")
    return PcieLink(
        generation_now=values.get("pcie_generation_now"),
        width_now=width,
        generation_max=generation,
        width_max=card_width or width,
        card_generation=values.get("pcie_card_generation"),
        card_width=card_width,
    )


def _display(report: DeviceReport, card: PciDevice | None) -> bool | None:
    attached = pci.display_attached(card) if card else None
    if attached is None and "display_active" in report.values:
        return bool(report.values["display_active"])
    return attached
