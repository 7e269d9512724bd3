"""Takes one snapshot of the machine: every probe of the registry runs once, isolated from the others."""

import logging
import platform
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from domain.machine.hardware import Gpu, Hardware, Storage
from domain.models.catalogue_types import KnownGpu
from probes.context import ProbeContext, ProbeState
from probes.gpus.apple import macos
from probes.registry import PROBES

log = logging.getLogger(__name__)


def probe(
    *,
    root: Path,
    models_dir: Path,
    known_gpus: Sequence[KnownGpu],
    state: ProbeState | None = None,
    wake: bool = False,
) -> Hardware:
    """The hardware below ``root``, without engines. Never raises; starts no child but sysctl on macOS.

    ``state`` is passed from snapshot to snapshot, so that values that cannot have changed are not read
    again. RAM bandwidth is a peak or unknown and the disk's read rate is unknown: ``probes.benchmarks``
    measures both, which takes time. Sleeping GPUs sleep on unless ``wake`` is set.
    """
    if platform.system() == "Darwin":
        return macos.probe(models_dir, known_gpus)
    started_s = time.monotonic()
    state = state or ProbeState()
    with ExitStack() as wakes:
        context = ProbeContext(root, models_dir, known_gpus, state, wakes if wake else None)
        hardware = Hardware(storage=Storage(str(models_dir)))
        for name, run in PROBES.items():
            hardware = context.isolation.run(name, partial(run, context, hardware), hardware)
    log.debug("probed: gpus=%d after_s=%.3f", len(hardware.gpus), time.monotonic() - started_s)
    gpus = tuple(_with_remembered_memory(gpu, state) for gpu in hardware.gpus)
    problems = (*hardware.problems, *context.isolation.problems)
    return replace(hardware, gpus=gpus, problems=problems)


def _with_remembered_memory(gpu: Gpu, state: ProbeState) -> Gpu:
    """A sleeping GPU has the memory that it had when it was awake."""
    key = gpu.id, gpu.pci_id
    if gpu.asleep:
        return replace(gpu, memory_total_bytes=gpu.memory_total_bytes or state.memory_bytes.get(key))
    if gpu.memory_total_bytes is not None:
        state.memory_bytes[key] = gpu.memory_total_bytes
    return gpu
