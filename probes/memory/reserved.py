"""RAM that the firmware gave integrated GPUs: it is installed, and the kernel has it not."""

from collections.abc import Sequence
from pathlib import Path

from domain.catalogue_types import KnownGpu
from domain.provenance import Provenance
from probes.gpus.amd import apu
from probes.gpus.amd import probe as amd
from probes.gpus.pci import PciDevice

TOLD = Provenance("sysfs", note="mem_info_vram_total of the integrated GPU")


def probe(root: Path, devices: Sequence[PciDevice], table: Sequence[KnownGpu]) -> int | None:
    """Bytes of all of them together; None without one, or where none tells."""
    shares = [
        apu.read(root, card).vram_bytes
        for card in devices
        if card.driver == "amdgpu" and not card.asleep and amd.is_apu(card, table)
    ]
    return sum(share for share in shares if share) or None
