"""Finds a device in the table of known GPUs: by PCI id and revision, then by the memory it reports.

Never by name: one id may be several cards (10de:2d04 is the 5060 Ti with 8 GB and with 16 GB), and a
card may have been given other memory (RTX 4090 with 48 GB).
"""

from collections.abc import Sequence
from dataclasses import replace

from domain.catalogue_types import KnownGpu
from domain.hardware import BandwidthSource, Gpu, MemoryKind
from domain.provenance import Certainty, Provenance
from probes.gpus.pci import VENDORS, PciDevice

# Drivers keep up to 7 % for themselves or for ECC (L40S: 46068 of 49152 MiB)
LEAST_REPORTED_SHARE = 0.92

TOLD = {
    "name": Provenance("table", note="by PCI id, revision and reported memory"),
    "memory_total_bytes": Provenance("table", Certainty.RATED),
    "bandwidth_bytes_per_s": Provenance("table", Certainty.RATED),
    "arch": Provenance("table"),
    "fp16_flops_per_s": Provenance("table", Certainty.RATED, "dense, adding up in FP32"),
    "driver": Provenance("sysfs"),
    "memory_kind": Provenance("table"),
    "is_integrated": Provenance("sysfs", Certainty.DERIVED, "its place on the bus, and the table"),
    "set_aside": Provenance("sysfs", Certainty.DERIVED, "what kind of GPU it is"),
}


def match(
    known: Sequence[KnownGpu], pci_id: str, *, revision: str | None = None, total_bytes: int | None = None
) -> KnownGpu | None:
    """The row of a device; None when there is none or when several are left."""
    rows = [row for row in known if pci_id in row.pci_ids]
    fitting = [row for row in rows if _revision_fits(row, revision)]
    rows = fitting or [row for row in rows if row.unified]  # the memory of a sister's is the RAM, too
    if total_bytes is not None:
        rows = [row for row in rows if row.unified or row.vram_bytes is None or _size_fits(row, total_bytes)]
        exact = [row for row in rows if total_bytes in (row.vram_reported_bytes, row.vram_bytes)]
        rows = exact or rows
    return rows[0] if len(rows) == 1 else None


def is_unified(known: Sequence[KnownGpu], pci_id: str) -> bool:
    return any(row.unified for row in known if pci_id in row.pci_ids)


def identity(card: PciDevice, known: Sequence[KnownGpu], total_bytes: int | None = None) -> Gpu:
    """What the PCI bus and the table tell of a card, so without waking it or asking its driver."""
    row = match(known, card.pci_id, revision=card.revision, total_bytes=total_bytes)
    vendor = VENDORS[card.vendor]
    gpu = Gpu(
        card.gpu_id,
        vendor,
        f"{vendor} {card.pci_id}",
        driver=card.driver,
        pci_id=card.pci_id,
        asleep=card.asleep,
    )
    if row is None:
        return gpu
    return replace(
        gpu,
        name=row.name,
        memory_kind=MemoryKind.UNIFIED if row.unified else MemoryKind.DEDICATED,
        memory_total_bytes=total_bytes
        or (None if row.unified else row.vram_reported_bytes or row.vram_bytes),
        bandwidth_bytes_per_s=row.bandwidth_bytes_per_s,
        bandwidth_source=BandwidthSource.PEAK if row.bandwidth_bytes_per_s else None,
        arch=row.arch,
        fp16_flops_per_s=row.fp16_flops_per_s,
    )


def _revision_fits(row: KnownGpu, revision: str | None) -> bool:
    return revision is None or not row.pci_revisions or revision in row.pci_revisions


def _size_fits(row: KnownGpu, total_bytes: int) -> bool:
    size = row.vram_bytes or 0
    return LEAST_REPORTED_SHARE * size <= total_bytes <= size
