"""RAM that the firmware gave integrated GPUs: it is installed, and the kernel has it not."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domain.catalogue_types import KnownGpu
from domain.hardware import Memory
from domain.provenance import Provenance
from probes.gpus.amd import apu
from probes.gpus.amd import probe as amd
from probes.gpus.pci import PciDevice
from probes.result import Reading

TOLD = {"carve_out_bytes": Provenance("sysfs", note="mem_info_vram_total of the integrated GPU")}


def probe(
    root: Path, devices: Sequence[PciDevice], table: Sequence[KnownGpu], memory: Memory
) -> Reading[Memory]:
    """``memory`` with the bytes of all of them together; unknown without one, or where none tells."""
    shares = [
        apu.read(root, card).vram_bytes
        for card in devices
        if card.driver == "amdgpu" and not card.asleep and amd.is_apu(card, table)
    ]
    carve_out_bytes = sum(share for share in shares if share) or None
    return Reading(replace(memory, carve_out_bytes=carve_out_bytes), told=TOLD)
