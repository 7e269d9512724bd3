"""Intel GPUs, as the xe and i915 drivers show them.

No file tells the size of their memory (absent in dumps of a B580 with kernels 6.16 and later), so it
comes from the table; free memory is unknown.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domain.hardware import Gpu
from domain.known import KnownGpu
from probes import files, known, link, pci, thermals
from probes.found import Found
from probes.pci import PciDevice

log = logging.getLogger(__name__)

INTEGRATED_SLOT = "0000:00:02.0"  # where every Core processor has its own graphics
PACKAGE_LABELS = ("pkg", "")  # xe's temp2, i915's only one


def probe(root: Path, devices: Sequence[PciDevice], table: Sequence[KnownGpu]) -> Found:
    """Cards with memory of their own. Integrated ones share RAM and are slower than the CPU: set aside."""
    gpus = []
    release = files.read(root / "proc/sys/kernel/osrelease")
    for card in devices:
        if card.vendor != "8086" or not card.is_gpu or card.driver not in pci.DRIVERS["8086"]:
            continue
        if card.slot == INTEGRATED_SLOT or known.is_unified(table, card.pci_id):
            log.info("integrated GPU set aside: slot=%s id=%s", card.slot, card.pci_id)
            continue
        gpu = known.identity(card, table)
        gpu = replace(gpu, driver=f"{card.driver} {release}" if release else card.driver)
        gpus.append(gpu if card.asleep else _awake(gpu, card))
    return Found(gpus=tuple(gpus))


def _awake(gpu: Gpu, card: PciDevice) -> Gpu:
    return replace(
        gpu,
        link=(found := link.probe(card)),
        pcie_bytes_per_s=link.bytes_per_s(found),
        temperature_c=_temperature(card),
        display_attached=pci.display_attached(card),
    )


def _temperature(card: PciDevice) -> float | None:
    for monitor in files.entries(card.path / "hwmon"):
        folder = card.path / "hwmon" / monitor
        for name in ("temp2", "temp1"):
            reading = files.read_int(folder / f"{name}_input")
            if reading is not None and (files.read(folder / f"{name}_label") or "") in PACKAGE_LABELS:
                return thermals.plausible(reading / 1000)
    return None
