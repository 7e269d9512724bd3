"""Takes one snapshot of the machine: every probe of the registry runs once, isolated from the others."""

import logging
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from domain.catalogue_types import KnownGpu
from domain.hardware import Hardware, Storage
from probes.context import ProbeContext, ProbeState
from probes.gpus.apple import macos
from probes.registry import PROBES

log = logging.getLogger(__name__)


def probe(
    *, root: Path, models_dir: Path, known_gpus: Sequence[KnownGpu], state: ProbeState | None = None
) -> Hardware:
    """The hardware below ``root``, without engines. Never raises; starts no child but sysctl on macOS.

    ``state`` is passed from snapshot to snapshot, so that values that cannot have changed are not read
    again. RAM bandwidth is a peak or unknown and the disk's read rate is unknown: ``probes.benchmarks``
    measures both, which takes time.
    """
    if platform.system() == "Darwin":
        return macos.probe(models_dir, known_gpus)
    started_s = time.monotonic()
    context = ProbeContext(root, models_dir, known_gpus, state)
    hardware = Hardware(storage=Storage(str(models_dir)))
    for name, run in PROBES.items():
        hardware = context.isolation.run(name, partial(run, context, hardware), hardware)
    log.debug("probed: gpus=%d after_s=%.3f", len(hardware.gpus), time.monotonic() - started_s)
    return replace(hardware, problems=(*hardware.problems, *context.isolation.problems))
