"""Apple's chips under Linux, from the device tree. The GPU uses the RAM of the CPU.

There is no PCI device, no counter of used memory and no sensor of the GPU: only the chip is known.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from domain.machine.hardware import BandwidthSource, Gpu, MemoryKind, Problem, ProblemKind
from domain.machine.provenance import Certainty, Provenance
from domain.models.catalogue_types import KnownGpu
from probes import sysfs
from probes.gpus import device_table
from probes.memory.ram import Meminfo
from probes.result import VendorReading

COMPATIBLE = Path("proc/device-tree/compatible")
VENDOR = "apple,"
UNKNOWN_CHIP = re.compile(r"apple,t[0-9]{4}")
DRIVER = Path("sys/module/asahi")

SOURCES = {
    **device_table.SOURCES,
    "name": Provenance("table", note="by the chip's name in the device tree"),
    "memory_total_bytes": Provenance("meminfo", Certainty.DERIVED, "its memory is the RAM"),
    "memory_free_bytes": Provenance("meminfo", Certainty.DERIVED, "MemAvailable"),
}


def probe(root: Path, meminfo: Meminfo, known_gpus: Sequence[KnownGpu]) -> VendorReading:
    """The GPU of the chip if the kernel has its driver; nothing on other machines."""
    names = (sysfs.read(root / COMPATIBLE) or "").split("\0")
    row = next((row for row in known_gpus for chip in row.chips if chip in names), None)
    unknown_chip = next(filter(UNKNOWN_CHIP.fullmatch, names), "")
    if row is None and not unknown_chip:
        return VendorReading()
    name = row.name if row else f"Apple {unknown_chip.removeprefix(VENDOR)}"
    if not sysfs.exists(root / DRIVER):
        what = f"the GPU of {name} is present, unusable: its driver is not loaded"
        hint = "use a kernel of Asahi Linux, which has the asahi driver"
        return VendorReading(problems=(Problem("apple", what, hint, ProblemKind.DRIVER),))
    release = sysfs.read(root / "proc/sys/kernel/osrelease")
    gpu = Gpu(
        id=f"soc:{row.chips[0] if row else unknown_chip}",
        vendor="apple",
        name=name,
        memory_kind=MemoryKind.UNIFIED,
        memory_total_bytes=meminfo.total_bytes,
        memory_free_bytes=meminfo.unified_free_bytes,
        bandwidth_bytes_per_s=row.bandwidth_bytes_per_s if row else None,
        bandwidth_source=BandwidthSource.PEAK if row and row.bandwidth_bytes_per_s else None,
        driver=f"asahi {release}" if release else "asahi",
        is_integrated=True,
    )
    return VendorReading((gpu,), provenance={gpu.id: SOURCES})
