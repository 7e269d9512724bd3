"""One look at the machine: every source asked once, none able to fail the others."""

import logging
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domain.catalogue_types import KnownGpu
from domain.hardware import BandwidthSource, Gpu, Hardware, Memory, MemoryKind
from domain.host import Power
from domain.provenance import Certainty, Provenance
from probes.gpus import accelerators
from probes.gpus.apple import macos
from probes.isolate import Guard
from probes.memory import peak_bandwidth, reserved
from probes.result import Found, Reading
from probes.sensors import power
from probes.system import host
from probes.system.host import ProbeState

log = logging.getLogger(__name__)

RATED = Provenance("table", Certainty.RATED, "of the unified GPU, whose memory is the RAM")


def probe(
    *, root: Path, models_dir: Path, known_gpus: Sequence[KnownGpu], before: ProbeState | None = None
) -> Hardware:
    """The hardware below ``root``, without engines. Never raises; starts no child but sysctl on a Mac.

    ``before`` is handed from look to look: what can't have changed is not read again. RAM bandwidth is a
    peak or unknown, the disk's read rate unknown: ``bandwidth`` and ``read_rate`` measure, which takes time.
    """
    if platform.system() == "Darwin":
        return macos.probe(models_dir, known_gpus)
    began = time.monotonic()
    ask = Guard()
    before = before or ProbeState()
    seen = host.probe(root, models_dir, before, ask)
    found = accelerators.probe(root, seen.meminfo, known_gpus, before.kept, ask)
    ram = with_carve_out(peak_bandwidth.bounded(seen.ram, *rated(found.vendors)), found.carve_out_bytes)
    gpus, draws = with_draws(found.gpus, seen.power)
    log.debug("probed: gpus=%d after_s=%.3f", len(gpus), time.monotonic() - began)
    return Hardware(
        cpu=seen.processor.value,
        memory=ram.value,
        gpus=gpus,
        npus=found.npus,
        stacks=found.stacks.value,
        thermals=(*seen.thermals, *found.thermals),
        fans=seen.fans,
        power=seen.power,
        storage=seen.disk.value,
        problems=(
            *seen.problems,
            *found.problems,
            *ask.problems,
        ),
        set_aside=found.set_aside,
        sources={
            **seen.processor.sources("cpu"),
            **ram.sources("memory"),
            **seen.of_sensors(),
            **seen.disk.sources("storage"),
            **found.sources(),
            **draws,
        },
    )


def with_draws(gpus: Sequence[Gpu], powers: Sequence[Power]) -> tuple[tuple[Gpu, ...], dict[str, Provenance]]:
    """Intel's drivers count energy and tell no watts: two readings make them, as of the other sensors."""
    counted = {
        gpu.id: draw for gpu in gpus if gpu.power_w is None and (draw := power.of_device(powers, gpu.id))
    }
    known = tuple(replace(gpu, power_w=counted[gpu.id].power_w) if gpu.id in counted else gpu for gpu in gpus)
    return known, {f"gpus[{id_}].power_w": power.told(draw) for id_, draw in counted.items()}


def with_carve_out(ram: Reading[Memory], carved_bytes: int | None) -> Reading[Memory]:
    value = replace(ram.value, carve_out_bytes=carved_bytes)
    return replace(ram, value=value, told={**ram.told, "carve_out_bytes": reserved.TOLD})


def rated(vendors: Sequence[Found]) -> tuple[float | None, Provenance]:
    """The memory of a unified GPU is the RAM, so its peak is the RAM's, too: bytes/s, and who told it."""
    for vendor in vendors:
        for gpu in (*vendor.gpus, *vendor.set_aside):
            peak = gpu.bandwidth_source is BandwidthSource.PEAK
            if gpu.memory_kind is MemoryKind.UNIFIED and peak and gpu.bandwidth_bytes_per_s:
                told = vendor.told.get(gpu.id, {}).get("bandwidth_bytes_per_s", RATED)
                return gpu.bandwidth_bytes_per_s, told
    return None, RATED
