"""One look at the machine: every source asked once, none able to fail the others."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from domain.hardware import (
    BandwidthSource,
    Cpu,
    Gpu,
    Hardware,
    Memory,
    MemoryKind,
    Npu,
    Problem,
    Stacks,
    Storage,
    Thermal,
)
from domain.known import KnownGpu
from probes import amd, cgroup, cpu, intel, memory, npu, nvidia, pci, stacks, storage, thermals
from probes.cgroup import Limits
from probes.found import Answer, Found
from probes.memory import Meminfo
from probes.pci import PciDevice

log = logging.getLogger(__name__)

T = TypeVar("T")


NONE: tuple[Problem, ...] = ()


def probe(*, root: Path, models_dir: Path, known_gpus: Sequence[KnownGpu]) -> Hardware:
    """The hardware below ``root``, without engines. Never raises; starts no child.

    RAM bandwidth is the peak of a unified machine or unknown: ``bandwidth.measure`` takes its time.
    """
    began = time.monotonic()
    ask = _Guard()
    limits = ask("cgroup", lambda: cgroup.probe(root), Limits())
    meminfo = ask("memory", lambda: memory.read_meminfo(root), Meminfo())
    processor = ask("cpu", lambda: cpu.probe(root, limits), Answer(Cpu()))
    ram = ask("memory", lambda: memory.probe(root, meminfo, limits), Answer(Memory()))
    devices: tuple[PciDevice, ...] = ask("pci", lambda: pci.probe(root), ())
    vendors = (
        Found(problems=ask("pci", lambda: pci.unusable(devices), NONE)),
        ask("nvidia", lambda: nvidia.probe(root, devices, meminfo, known_gpus), Found()),
        ask("amd", lambda: amd.probe(root, devices, meminfo, known_gpus), Found()),
        ask("intel", lambda: intel.probe(root, devices, known_gpus), Found()),
    )
    npus: tuple[Npu, ...] = ask("npu", lambda: npu.parse(devices), ())
    sensors: tuple[Thermal, ...] = ask("thermals", lambda: thermals.probe(root), ())
    disk = ask("storage", lambda: storage.probe(models_dir), Answer(Storage(str(models_dir))))
    rocm = ask("stacks", lambda: stacks.rocm(root), None)
    gpus = tuple(gpu for vendor in vendors for gpu in vendor.gpus)
    ram = replace(ram, value=with_peak(ram.value, gpus))
    log.debug("probed: gpus=%d after_s=%.3f", len(gpus), time.monotonic() - began)
    return Hardware(
        cpu=processor.value,
        memory=ram.value,
        gpus=gpus,
        npus=npus,
        stacks=Stacks(cuda=next((vendor.cuda for vendor in vendors if vendor.cuda), None), rocm=rocm),
        thermals=(*sensors, *(sensor for vendor in vendors for sensor in vendor.thermals)),
        storage=disk.value,
        problems=(
            *processor.problems,
            *ram.problems,
            *(problem for vendor in vendors for problem in vendor.problems),
            *disk.problems,
            *ask.problems,
        ),
        set_aside=tuple(gpu for vendor in vendors for gpu in vendor.set_aside),
        sources={
            **processor.sources("cpu"),
            **ram.sources("memory"),
            **{name: told for vendor in vendors for name, told in vendor.sources().items()},
            **{f"thermals[{one.sensor}].temperature_c": thermals.TOLD for one in sensors},
            **disk.sources("storage"),
        },
    )


class _Guard:
    """Asks a source; one that breaks becomes a problem and its value is unknown."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def __call__(self, source: str, call: Callable[[], T], unknown: T) -> T:
        try:
            return call()
        except Exception as error:  # a source that breaks in a way nobody foresaw must not hide the others
            log.exception("probe failed: source=%s", source)
            what = f"the probe broke: {error!r}"
            self.problems.append(
                Problem(source, what, "the log has the traceback; it is a bug worth a report")
            )
            return unknown


def with_peak(ram: Memory, gpus: Sequence[Gpu]) -> Memory:
    """The memory of a unified GPU is the RAM, so its peak is the RAM's peak, too."""
    peaks = [
        gpu.bandwidth_bytes_per_s
        for gpu in gpus
        if gpu.memory_kind is MemoryKind.UNIFIED and gpu.bandwidth_source is BandwidthSource.PEAK
    ]
    if not peaks or not peaks[0]:
        return ram
    return replace(
        ram,
        bandwidth_bytes_per_s=peaks[0],
        bandwidth_source=BandwidthSource.PEAK,
        peak_bandwidth_bytes_per_s=peaks[0],
    )
