"""RAM that the firmware reserves for integrated GPUs (carve-out): not part of the kernel's total."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domain.machine.hardware import Memory
from domain.machine.provenance import Provenance
from domain.models.catalogue_types import KnownGpu
from probes.gpus.amd import apu
from probes.gpus.amd import probe as amd
from probes.gpus.pci import PciDevice
from probes.result import Reading

SOURCES = {"carve_out_bytes": Provenance("sysfs", note="mem_info_vram_total of the integrated GPU")}


def probe(
    root: Path, devices: Sequence[PciDevice], known_gpus: Sequence[KnownGpu], memory: Memory
) -> Reading[Memory]:
    """``memory`` with the carve-outs of all integrated GPUs together; unknown if none reports one."""
    sizes = [
        apu.read(root, card).vram_bytes
        for card in devices
        if card.driver == "amdgpu" and not card.asleep and amd.is_apu(card, known_gpus)
    ]
    carve_out_bytes = sum(size for size in sizes if size) or None
    return Reading(replace(memory, carve_out_bytes=carve_out_bytes), provenance=SOURCES)
