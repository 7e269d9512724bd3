"""The inputs of the probes: root, settings, and facts that several probes need."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from domain.models.catalogue_types import KnownGpu
from probes.gpus import drm_clients, pci, wake
from probes.gpus.amd import probe as amd
from probes.gpus.drm_clients import DrmMemory
from probes.gpus.pci import PciDevice
from probes.isolate import Isolation
from probes.memo import Memo
from probes.memory import cgroup, ram
from probes.memory.cgroup import Limits
from probes.memory.ram import Meminfo
from probes.sensors import hwmon
from probes.sensors.hwmon import Chip
from probes.sensors.power import Meter


@dataclass(frozen=True, slots=True)
class ProbeState:
    """What one snapshot hands to the next: values that cannot change, readings of energy counters, and the
    memory of each GPU, by id and PCI id, which it does not tell while it sleeps."""

    memo: Memo = field(default_factory=Memo)
    meter: Meter = field(default_factory=Meter)
    memory_bytes: dict[tuple[str, str | None], int] = field(default_factory=dict)


class ProbeContext:
    """The inputs of one snapshot. Each property is read at most once, when the first probe uses it; if its
    reader fails, the property is unknown and the failure is a problem of its own."""

    def __init__(
        self,
        root: Path,
        models_dir: Path,
        known_gpus: Sequence[KnownGpu],
        state: ProbeState | None = None,
        wakes: ExitStack | None = None,
    ) -> None:
        self.root = root
        self.models_dir = models_dir
        self.known_gpus = known_gpus
        self.state = state or ProbeState()
        self.wakes = wakes
        self.isolation = Isolation()

    @cached_property
    def cgroup_limits(self) -> Limits:
        return self.isolation.run("cgroup", lambda: cgroup.probe(self.root), Limits())

    @cached_property
    def meminfo(self) -> Meminfo:
        return self.isolation.run("meminfo", lambda: ram.read_meminfo(self.root), Meminfo())

    @cached_property
    def hwmon_chips(self) -> tuple[Chip, ...]:
        return self.isolation.run("hwmon", lambda: hwmon.probe(self.root), ())

    @cached_property
    def pci_devices(self) -> tuple[PciDevice, ...]:
        devices: tuple[PciDevice, ...] = self.isolation.run("pci", lambda: pci.probe(self.root), ())
        if self.wakes is None:
            return devices
        return wake.wake(self.root, devices, self.wakes)

    @cached_property
    def drm_memory(self) -> DrmMemory:
        """Memory that processes hold of AMD's and Intel's GPUs."""
        return self.isolation.run("drm", self._drm_memory, {})

    def _drm_memory(self) -> DrmMemory:
        apus = [
            device.slot
            for device in self.pci_devices
            if device.driver == "amdgpu" and amd.is_apu(device, self.known_gpus)
        ]
        return drm_clients.probe(self.root, pci.drm_slots(self.pci_devices), apus)
