"""Intel GPUs, from the files of the xe and i915 drivers.

No file has the size of their memory on every kernel (none in dumps of a B580 with 6.16 and later), so it
comes from a file where there is one, else from the device table, else from the PCI BAR through which the
memory is mapped. Free memory is unknown.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domain.machine.hardware import Gpu, MemoryKind
from domain.machine.provenance import Certainty, Provenance
from domain.models.catalogue_types import KnownGpu
from domain.units import MIB
from probes import sysfs
from probes.gpus import device_nodes, device_table, pci, pcie_link
from probes.gpus.drm_clients import DrmMemory
from probes.gpus.pci import PciDevice
from probes.gpus.processes import gpu_processes
from probes.result import FieldSources, VendorReading
from probes.sensors import temperatures

INTEGRATED_SLOT = "0000:00:02.0"  # of the integrated graphics of every Core processor
INTEGRATED = "integrated graphics, which share the RAM and are slower than the CPU"
PACKAGE_LABELS = ("pkg", "")  # xe's temp2, i915's only one

# xe by tile, i915 by card. The BAR has 256 MiB if the firmware cannot resize it
SIZE_FILES = ("tile0/physical_vram_size_bytes", "drm/card*/lmem_total_bytes")
SMALL_BAR_BYTES = 256 * MIB
MEMORY_BAR = 2

# Power and current limits (pl1, pl2, pl4, vr_tdc) work as configured and are no faults
THROTTLES = ("thermal", "prochot", "ratl", "vr_thermalert", "soc_thermal", "mem_thermal")
THROTTLE_FILES = ("tile*/gt*/freq0/throttle/reason_", "drm/card*/gt/gt*/throttle_reason_")

SOURCES = {
    **device_table.SOURCES,
    "temperature_c": Provenance("hwmon", note="of the package"),
    "power_limit_w": Provenance("hwmon", note="power1_cap, else power1_max"),
    "fan_rpm": Provenance("hwmon", note="the fastest"),
    "throttled_by": Provenance("sysfs", note="throttle reasons of every GT"),
    "link": pcie_link.SOURCE,
    "pcie_bytes_per_s": pcie_link.RATE_SOURCE,
    "display_attached": Provenance("drm"),
    "tenants": Provenance("proc", note="fdinfo of the processes that this user may inspect"),
}
BAR_SOURCE = Provenance("sysfs", Certainty.DERIVED, "size of the PCI BAR, which may be larger")
FILE_SOURCE = Provenance("sysfs")


def probe(
    root: Path,
    devices: Sequence[PciDevice],
    known_gpus: Sequence[KnownGpu],
    drm_memory: DrmMemory | None = None,
) -> VendorReading:
    """Cards with memory of their own. Integrated graphics are set aside."""
    reading = VendorReading()
    release = sysfs.read(root / "proc/sys/kernel/osrelease")
    for card in devices:
        if card.vendor != "8086" or not card.is_gpu or card.driver not in pci.DRIVERS["8086"]:
            continue
        gpu = device_table.identity(card, known_gpus)
        gpu = replace(gpu, driver=f"{card.driver} {release}" if release else card.driver)
        if _is_integrated(card, known_gpus):
            gpu = replace(gpu, is_integrated=True, set_aside=INTEGRATED)
            reading = reading.plus(VendorReading(set_aside=(gpu,)))
        else:
            reading = reading.plus(_card(root, card, gpu, drm_memory or {}))
    return reading


def _card(root: Path, card: PciDevice, gpu: Gpu, drm_memory: DrmMemory) -> VendorReading:
    if card.asleep:
        return VendorReading((gpu,))
    gpu, provenance = _awake_gpu(gpu, card)
    gpu = replace(gpu, tenants=gpu_processes(root, drm_memory.get(card.slot, {})))
    if absent := device_nodes.missing(root, card):
        return device_nodes.set_aside("intel", gpu, absent, provenance)
    return VendorReading((gpu,), provenance={gpu.id: provenance})


def _is_integrated(card: PciDevice, known_gpus: Sequence[KnownGpu]) -> bool:
    """By the table, else by what the kernel shows: in a virtual machine the slot is another one, and a
    virtual function has no memory of its own. A card has a file or a large BAR for its memory, or a link."""
    known = device_table.is_unified(known_gpus, card.pci_id)
    if known is not None:
        return known
    if card.slot == INTEGRATED_SLOT or sysfs.exists(card.path / "physfn"):
        return True
    return not card.asleep and memory_bytes(card, None)[0] is None and pcie_link.probe(card) is None


def _awake_gpu(gpu: Gpu, card: PciDevice) -> tuple[Gpu, FieldSources]:
    total_bytes, memory_source = memory_bytes(card, gpu.memory_total_bytes)
    monitors = (card.path / "hwmon" / name for name in sysfs.entries(card.path / "hwmon"))
    folder = next(monitors, card.path / "hwmon")
    fans = [
        rpm for number in (1, 2, 3) if (rpm := sysfs.read_count(folder / f"fan{number}_input")) is not None
    ]
    limits_uw = (sysfs.read_count(folder / f"power1_{name}") for name in ("cap", "max"))
    limit_uw = next((limit for limit in limits_uw if limit), None)
    link = pcie_link.probe(card)
    gpu = replace(
        gpu,
        memory_kind=MemoryKind.DEDICATED,
        memory_total_bytes=total_bytes,
        is_integrated=False,
        link=link,
        pcie_bytes_per_s=pcie_link.bytes_per_s(link),
        temperature_c=_temperature(folder),
        power_limit_w=limit_uw / 1_000_000 if limit_uw else None,
        fan_rpm=max(fans, default=None),
        throttled_by=_throttle_reasons(card),
        display_attached=pci.display_attached(card),
    )
    return gpu, {**SOURCES, "memory_total_bytes": memory_source}


def memory_bytes(card: PciDevice, rated_bytes: int | None) -> tuple[int | None, Provenance]:
    """The driver's figure, else the table's, else the size of the BAR through which the memory is mapped."""
    for pattern in SIZE_FILES:
        for path in sorted(card.path.glob(pattern)):
            if size := sysfs.read_count(path):
                return size, FILE_SOURCE
    mapped_bytes = None if rated_bytes else pci.bar_bytes(card, MEMORY_BAR)
    if mapped_bytes and mapped_bytes > SMALL_BAR_BYTES:
        return mapped_bytes, BAR_SOURCE
    return rated_bytes, device_table.SOURCES["memory_total_bytes"]


def _throttle_reasons(card: PciDevice) -> tuple[str, ...] | None:
    """The reasons that any part of the card reports; None if the driver has no such files."""
    paths = [path for pattern in THROTTLE_FILES for path in card.path.glob(f"{pattern}*")]
    active = {path.name.partition("reason_")[2] for path in paths if sysfs.read_int(path) == 1}
    return tuple(name for name in THROTTLES if name in active) if paths else None


def _temperature(folder: Path) -> float | None:
    for name in ("temp2", "temp1"):
        reading = sysfs.read_int(folder / f"{name}_input")
        if reading is not None and (sysfs.read(folder / f"{name}_label") or "") in PACKAGE_LABELS:
            return temperatures.plausible_c(reading / 1000)
    return None
