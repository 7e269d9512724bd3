"""Intel GPUs, as the xe and i915 drivers show them.

No file tells the size of their memory on every kernel (none in dumps of a B580 with 6.16 and later), so it
comes from a file where one is, from the window of the PCI bus where that is as large as the memory, else
from the table. Free memory is unknown.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domain.catalogue_types import KnownGpu
from domain.hardware import Gpu, MemoryKind
from domain.provenance import Certainty, Provenance
from domain.units import MIB
from probes import sysfs
from probes.gpus import device_table, pci, pcie_link
from probes.gpus.drm_clients import Held
from probes.gpus.pci import PciDevice
from probes.gpus.processes import tenants
from probes.result import ToldBy, VendorReading
from probes.sensors import temperatures

INTEGRATED_SLOT = "0000:00:02.0"  # where every Core processor has its own graphics
INTEGRATED = "integrated graphics, which share the RAM and are slower than the CPU"
PACKAGE_LABELS = ("pkg", "")  # xe's temp2, i915's only one

# xe by tile, i915 by card; the window is 256 MiB where the firmware can't resize it (BAR2 of "resource")
SIZE_FILES = ("tile0/physical_vram_size_bytes", "drm/card*/lmem_total_bytes")
SMALL_WINDOW_BYTES = 256 * MIB
MEMORY_WINDOW = 2

# Power and current limits (pl1, pl2, pl4, vr_tdc) work as configured
THROTTLES = ("thermal", "prochot", "ratl", "vr_thermalert", "soc_thermal", "mem_thermal")
THROTTLE_FILES = ("tile*/gt*/freq0/throttle/reason_", "drm/card*/gt/gt*/throttle_reason_")

TOLD = {
    **device_table.TOLD,
    "temperature_c": Provenance("hwmon", note="of the package"),
    "power_limit_w": Provenance("hwmon", note="power1_cap, else power1_max"),
    "fan_rpm": Provenance("hwmon", note="the fastest"),
    "throttled_by": Provenance("sysfs", note="throttle reasons of every GT"),
    "link": pcie_link.TOLD,
    "pcie_bytes_per_s": pcie_link.RATE_TOLD,
    "display_attached": Provenance("drm"),
    "tenants": Provenance("proc", note="fdinfo of the processes that this user may look into"),
}
FROM_WINDOW = Provenance("sysfs", Certainty.DERIVED, "the window of the PCI bus, which may be larger")
FROM_FILE = Provenance("sysfs")


def probe(
    root: Path, devices: Sequence[PciDevice], table: Sequence[KnownGpu], users: Held | None = None
) -> VendorReading:
    """Cards with memory of their own. Integrated ones share RAM and are slower than the CPU: set aside."""
    found = VendorReading()
    release = sysfs.read(root / "proc/sys/kernel/osrelease")
    for card in devices:
        if card.vendor != "8086" or not card.is_gpu or card.driver not in pci.DRIVERS["8086"]:
            continue
        gpu = device_table.identity(card, table)
        gpu = replace(gpu, driver=f"{card.driver} {release}" if release else card.driver)
        if card.slot == INTEGRATED_SLOT or device_table.is_unified(table, card.pci_id):
            gpu = replace(gpu, is_integrated=True, set_aside=INTEGRATED)
            found = replace(found, set_aside=(*found.set_aside, gpu))
            continue
        told: ToldBy = device_table.TOLD
        if not card.asleep:
            gpu, told = _awake(gpu, card)
            gpu = replace(gpu, tenants=tenants(root, (users or {}).get(card.slot, {})))
        found = replace(found, gpus=(*found.gpus, gpu), told={**found.told, gpu.id: told})
    return found


def _awake(gpu: Gpu, card: PciDevice) -> tuple[Gpu, ToldBy]:
    total, told = memory_bytes(card, gpu.memory_total_bytes)
    monitors = (card.path / "hwmon" / name for name in sysfs.entries(card.path / "hwmon"))
    folder = next(monitors, card.path / "hwmon")
    fans = [
        rpm for number in (1, 2, 3) if (rpm := sysfs.read_count(folder / f"fan{number}_input")) is not None
    ]
    limits = (sysfs.read_count(folder / f"power1_{name}") for name in ("cap", "max"))
    limit = next((limit for limit in limits if limit), None)
    gpu = replace(
        gpu,
        memory_kind=MemoryKind.DEDICATED,
        memory_total_bytes=total,
        is_integrated=False,
        link=(found := pcie_link.probe(card)),
        pcie_bytes_per_s=pcie_link.bytes_per_s(found),
        temperature_c=_temperature(folder),
        power_limit_w=limit / 1_000_000 if limit else None,
        fan_rpm=max((rpm for rpm in fans if rpm is not None), default=None),
        throttled_by=_throttles(card),
        display_attached=pci.display_attached(card),
    )
    return gpu, {**TOLD, "memory_total_bytes": told}


def memory_bytes(card: PciDevice, rated: int | None) -> tuple[int | None, Provenance]:
    """A driver's own figure, else the table's, else the window's that the card's memory is seen through."""
    for pattern in SIZE_FILES:
        for path in sorted(card.path.glob(pattern)):
            if size := sysfs.read_count(path):
                return size, FROM_FILE
    window = None if rated else pci.window_bytes(card, MEMORY_WINDOW)
    if window and window > SMALL_WINDOW_BYTES:
        return window, FROM_WINDOW
    return rated, device_table.TOLD["memory_total_bytes"]


def _throttles(card: PciDevice) -> tuple[str, ...] | None:
    """What any part of the card says; None where no part says anything."""
    paths = [path for pattern in THROTTLE_FILES for path in card.path.glob(f"{pattern}*")]
    said = {path.name.partition("reason_")[2] for path in paths if sysfs.read_int(path) == 1}
    return tuple(name for name in THROTTLES if name in said) if paths else None


def _temperature(folder: Path) -> float | None:
    for name in ("temp2", "temp1"):
        reading = sysfs.read_int(folder / f"{name}_input")
        if reading is not None and (sysfs.read(folder / f"{name}_label") or "") in PACKAGE_LABELS:
            return temperatures.plausible(reading / 1000)
    return None
