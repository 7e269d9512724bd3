"""Takes one sample of what changes from second to second: the rows of the registry that read sensors, memory
and GPUs."""

import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from domain.machine.hardware import Hardware
from domain.machine.sample import Sample
from domain.models.catalogue_types import KnownGpu
from probes import stalls
from probes.context import ProbeContext, ProbeState
from probes.registry import PROBES

ROWS = ("thermals", "fans", "power", "cpu", "cpu-sensors", "memory", "nvidia", "amd", "intel", "gpu-power")


def probe(*, root: Path, models_dir: Path, known_gpus: Sequence[KnownGpu], state: ProbeState) -> Sample:
    """Never raises, starts no child, wakes no sleeping GPU. Tenants of AMD's and Intel's GPUs are not read:
    that takes a look at every open file of the machine."""
    at_s, monotonic_s = time.time(), time.monotonic()
    if platform.system() == "Darwin":  # its probe starts children
        return Sample(at_s, monotonic_s)
    context = ProbeContext(root, models_dir, known_gpus, state)
    context.drm_memory = {}
    hardware = Hardware()
    for name in ROWS:
        hardware = context.isolation.run(name, partial(PROBES[name], context, hardware), hardware)
    gpus = tuple(gpu if gpu.vendor == "nvidia" else replace(gpu, tenants=None) for gpu in hardware.gpus)
    return Sample(at_s, monotonic_s, replace(hardware, gpus=gpus, sources={}), stalls.probe(root))
