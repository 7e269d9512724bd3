"""One look at the machine: every source asked once, none able to fail the others."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from domain.hardware import BandwidthSource, Hardware, MemoryKind, Npu, Problem, Stacks
from domain.known import KnownGpu
from domain.told import Certainty, Told
from probes import amd, clients, host, intel, npu, nvidia, pci, ram_peak, stacks
from probes.found import Found
from probes.guard import Guard
from probes.host import Before
from probes.pci import PciDevice

log = logging.getLogger(__name__)

NONE: tuple[Problem, ...] = ()
RATED = Told("table", Certainty.RATED, "of the unified GPU, whose memory is the RAM")


def probe(
    *, root: Path, models_dir: Path, known_gpus: Sequence[KnownGpu], before: Before | None = None
) -> Hardware:
    """The hardware below ``root``, without engines. Never raises; starts no child.

    ``before`` is handed from look to look: what can't have changed is not read again. RAM bandwidth is a
    peak or unknown, the disk's read rate unknown: ``bandwidth`` and ``read_rate`` measure, which takes time.
    """
    began = time.monotonic()
    ask = Guard()
    seen = host.probe(root, models_dir, before or Before(), ask)
    devices: tuple[PciDevice, ...] = ask("pci", lambda: pci.probe(root), ())
    users: clients.Held = ask("tenants", lambda: clients.probe(root, pci.drm_slots(devices)), {})
    vendors = (
        Found(problems=ask("pci", lambda: pci.unusable(devices), NONE)),
        ask("nvidia", lambda: nvidia.probe(root, devices, seen.meminfo, known_gpus), Found()),
        ask("amd", lambda: amd.probe(root, devices, seen.meminfo, known_gpus, users), Found()),
        ask("intel", lambda: intel.probe(root, devices, known_gpus, users), Found()),
    )
    npus: tuple[Npu, ...] = ask("npu", lambda: npu.parse(devices), ())
    rocm = ask("stacks", lambda: stacks.rocm(root), None)
    gpus = tuple(gpu for vendor in vendors for gpu in vendor.gpus)
    ram = ram_peak.bounded(seen.ram, *rated(vendors))
    log.debug("probed: gpus=%d after_s=%.3f", len(gpus), time.monotonic() - began)
    return Hardware(
        cpu=seen.processor.value,
        memory=ram.value,
        gpus=gpus,
        npus=npus,
        stacks=Stacks(cuda=next((vendor.cuda for vendor in vendors if vendor.cuda), None), rocm=rocm),
        thermals=(*seen.thermals, *(sensor for vendor in vendors for sensor in vendor.thermals)),
        fans=seen.fans,
        power=seen.power,
        storage=seen.disk.value,
        problems=(
            *seen.problems,
            *(problem for vendor in vendors for problem in vendor.problems),
            *ask.problems,
        ),
        set_aside=tuple(gpu for vendor in vendors for gpu in vendor.set_aside),
        sources={
            **seen.sources(),
            **ram.sources("memory"),
            **{name: told for vendor in vendors for name, told in vendor.sources().items()},
        },
    )


def rated(vendors: Sequence[Found]) -> tuple[float | None, Told]:
    """The memory of a unified GPU is the RAM, so its peak is the RAM's, too: bytes/s, and who told it."""
    for vendor in vendors:
        for gpu in vendor.gpus:
            peak = gpu.bandwidth_source is BandwidthSource.PEAK
            if gpu.memory_kind is MemoryKind.UNIFIED and peak and gpu.bandwidth_bytes_per_s:
                told = vendor.told.get(gpu.id, {}).get("bandwidth_bytes_per_s", RATED)
                return gpu.bandwidth_bytes_per_s, told
    return None, RATED
