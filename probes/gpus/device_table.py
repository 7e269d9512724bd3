"""Finds a device in the table of known GPUs, by PCI id and revision, then by the memory it reports.

Never by name: one id can be several cards (10de:2d04 is the 5060 Ti with 8 GB and with 16 GB), and a card can
have been refitted with other memory (RTX 4090 with 48 GB).
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from domain.machine.hardware import BandwidthSource, Gpu, MemoryKind
from domain.machine.provenance import Certainty, Provenance
from domain.models.catalogue_types import KnownGpu
from probes.gpus.pci import VENDORS, PciDevice

# Drivers reserve up to 7 % for themselves or for ECC (L40S: 46068 of 49152 MiB)
MIN_REPORTED_SHARE = 0.92

SOURCES = {
    "name": Provenance("table", note="by PCI id, revision and reported memory"),
    "memory_total_bytes": Provenance("table", Certainty.RATED),
    "bandwidth_bytes_per_s": Provenance("table", Certainty.RATED),
    "arch": Provenance("table"),
    "fp16_flops_per_s": Provenance("table", Certainty.RATED, "dense, accumulated in FP32"),
    "driver": Provenance("sysfs"),
    "memory_kind": Provenance("table"),
    "is_integrated": Provenance("sysfs", Certainty.DERIVED, "PCI slot and device table"),
    "set_aside": Provenance("sysfs", Certainty.DERIVED, "the kind of GPU"),
}


def match(
    known_gpus: Sequence[KnownGpu],
    pci_id: str,
    *,
    revision: str | None = None,
    total_bytes: int | None = None,
) -> KnownGpu | None:
    """The row of a device, or of all that are left what they agree on, named "A or B"; None without any."""
    rows = [row for row in known_gpus if pci_id in row.pci_ids]
    matching = [row for row in rows if _revision_fits(row, revision)]
    rows = matching or [row for row in rows if row.unified]  # other revisions share the RAM, too
    if total_bytes is not None:
        rows = [row for row in rows if row.unified or row.vram_bytes is None or _size_fits(row, total_bytes)]
        exact = [row for row in rows if total_bytes in (row.vram_reported_bytes, row.vram_bytes)]
        rows = exact or rows
    return _agreed(rows) if rows and (matching or len(rows) == 1) else None


def is_unified(known_gpus: Sequence[KnownGpu], pci_id: str) -> bool | None:
    """None for a device that is not in the table."""
    kinds = [row.unified for row in known_gpus if pci_id in row.pci_ids]
    return any(kinds) if kinds else None


def _agreed(rows: Sequence[KnownGpu]) -> KnownGpu:
    first = rows[0]
    if len(rows) == 1:
        return first
    facts = ("arch", "vram_bytes", "vram_reported_bytes", "bandwidth_bytes_per_s", "fp16_flops_per_s")
    unknown: dict[str, Any] = {name: None for name in facts if len({getattr(row, name) for row in rows}) > 1}
    return replace(first, name=either([row.name for row in rows]), **unknown)


def either(names: Sequence[str]) -> str:
    """``["RTX 3080 16GB", "RTX 3080 8GB"]`` -> ``"RTX 3080 16GB or 8GB"``."""
    words = [name.split() for name in dict.fromkeys(names)]
    shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False)))
    return " or ".join([" ".join(words[0]), *(" ".join(rest[shared:]) for rest in words[1:])])


def identity(device: PciDevice, known_gpus: Sequence[KnownGpu], total_bytes: int | None = None) -> Gpu:
    """A GPU as the PCI bus and the table describe it, without waking it or calling its driver."""
    row = match(known_gpus, device.pci_id, revision=device.revision, total_bytes=total_bytes)
    vendor = VENDORS[device.vendor]
    gpu = Gpu(
        device.gpu_id,
        vendor,
        f"{vendor} {device.pci_id}",
        driver=device.driver,
        pci_id=device.pci_id,
        asleep=device.asleep,
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
    return MIN_REPORTED_SHARE * size <= total_bytes <= size
