"""The probes of a snapshot, in the order in which they run. README.md says how to add one.

A probe gets the hardware as the rows above it left it and returns it with its own values added. Facts that
several probes need, such as the PCI devices, are properties of the context.
"""

from typing import Protocol

from domain.machine.hardware import Hardware
from probes import combine, storage
from probes.context import ProbeContext
from probes.cpu import processor
from probes.gpus import intel, npu, pci
from probes.gpus.amd import probe as amd
from probes.gpus.apple import probe as apple
from probes.gpus.nvidia import probe as nvidia
from probes.memory import ram, reserved
from probes.result import VendorReading, with_gpus, with_items, with_part
from probes.runtimes import versions
from probes.sensors import fans, power, temperatures


class Probe(Protocol):
    """Reads one source. Bounded in time and bytes; changes nothing and wakes no sleeping GPU."""

    def __call__(self, context: ProbeContext, hardware: Hardware, /) -> Hardware:
        """``hardware`` with the values, problems and provenance of this source added. If it raises, the
        exception becomes a problem and ``hardware`` stays as it was."""


PROBES: dict[str, Probe] = {
    "thermals": lambda context, hardware: temperatures.with_readings(
        hardware, temperatures.probe(context.root, context.hwmon_chips)
    ),
    "fans": lambda context, hardware: with_items(
        hardware, "fans", fans.probe(context.hwmon_chips), fans.sources_of
    ),
    "power": lambda context, hardware: with_items(
        hardware, "power", context.state.meter.probe(context.root, context.hwmon_chips), power.sources_of
    ),
    "cpu": lambda context, hardware: with_part(
        hardware, "cpu", processor.probe(context.root, context.cgroup_limits, context.state.memo)
    ),
    "cpu-sensors": lambda _, hardware: combine.cpu_sensors(hardware),
    "memory": lambda context, hardware: with_part(
        hardware,
        "memory",
        ram.probe(context.root, context.meminfo, context.cgroup_limits, context.state.memo),
    ),
    "storage": lambda context, hardware: with_part(
        hardware, "storage", storage.probe(context.root, context.models_dir, context.state.memo)
    ),
    "unusable": lambda context, hardware: with_gpus(
        hardware, VendorReading(problems=pci.unusable_gpus(context.pci_devices))
    ),
    "nvidia": lambda context, hardware: with_gpus(
        hardware, nvidia.probe(context.root, context.pci_devices, context.meminfo, context.known_gpus)
    ),
    "amd": lambda context, hardware: with_gpus(
        hardware,
        amd.probe(context.root, context.pci_devices, context.meminfo, context.known_gpus, context.drm_memory),
    ),
    "intel": lambda context, hardware: with_gpus(
        hardware, intel.probe(context.root, context.pci_devices, context.known_gpus, context.drm_memory)
    ),
    "apple": lambda context, hardware: with_gpus(
        hardware, apple.probe(context.root, context.meminfo, context.known_gpus)
    ),
    "npu": lambda context, hardware: with_items(
        hardware, "npus", npu.probe(context.pci_devices), lambda _: npu.SOURCES
    ),
    "stacks": lambda context, hardware: with_part(
        hardware,
        "stacks",
        versions.probe(context.root, context.pci_devices, context.state.memo, cuda=hardware.stacks.cuda),
    ),
    "carve-out": lambda context, hardware: with_part(
        hardware,
        "memory",
        reserved.probe(context.root, context.pci_devices, context.known_gpus, hardware.memory),
    ),
    "unified-bandwidth": lambda _, hardware: combine.unified_bandwidth(hardware),
    "gpu-power": lambda _, hardware: combine.gpu_power(hardware),
}
