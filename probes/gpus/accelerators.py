"""GPUs and NPUs of every maker, and the stacks that reach them, each source asked once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domain.catalogue_types import KnownGpu
from domain.hardware import Gpu, Npu, Problem, Stacks, Thermal
from domain.provenance import Provenance
from probes.gpus import drm_clients, intel, npu, pci
from probes.gpus.amd import probe as amd
from probes.gpus.apple import probe as apple
from probes.gpus.nvidia import probe as nvidia
from probes.gpus.pci import PciDevice
from probes.isolate import Guard
from probes.memo import Memo
from probes.memory import reserved
from probes.memory.ram import Meminfo
from probes.result import Found, Reading, sources
from probes.runtimes import versions

NONE: tuple[Problem, ...] = ()
FIRMWARE_DRIVERS = ("amdgpu", "xe", "i915", "amdxdna")


@dataclass(frozen=True, slots=True)
class Accelerators:
    vendors: tuple[Found, ...]
    npus: tuple[Npu, ...]
    stacks: Reading[Stacks]
    carve_out_bytes: int | None = None

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        return tuple(gpu for vendor in self.vendors for gpu in vendor.gpus)

    @property
    def set_aside(self) -> tuple[Gpu, ...]:
        return tuple(gpu for vendor in self.vendors for gpu in vendor.set_aside)

    @property
    def thermals(self) -> tuple[Thermal, ...]:
        return tuple(sensor for vendor in self.vendors for sensor in vendor.thermals)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for vendor in self.vendors for problem in vendor.problems)

    def sources(self) -> dict[str, Provenance]:
        found = self.stacks.sources("stacks")
        for vendor in self.vendors:
            found |= vendor.sources()
        for one in self.npus:
            found |= sources(f"npus[{one.id}]", one, npu.TOLD)
        return found


def probe(
    root: Path, meminfo: Meminfo, known_gpus: Sequence[KnownGpu], kept: Memo, ask: Guard
) -> Accelerators:
    devices: tuple[PciDevice, ...] = ask("pci", lambda: pci.probe(root), ())
    sharing = [one.slot for one in devices if one.driver == "amdgpu" and amd.is_apu(one, known_gpus)]
    users: drm_clients.Held = ask(
        "tenants", lambda: drm_clients.probe(root, pci.drm_slots(devices), sharing), {}
    )
    vendors = (
        Found(problems=ask("pci", lambda: pci.unusable(devices), NONE)),
        ask("nvidia", lambda: nvidia.probe(root, devices, meminfo, known_gpus), Found()),
        ask("amd", lambda: amd.probe(root, devices, meminfo, known_gpus, users), Found()),
        ask("intel", lambda: intel.probe(root, devices, known_gpus, users), Found()),
        ask("apple", lambda: apple.probe(root, meminfo, known_gpus), Found()),
    )
    loaded = any(device.driver in FIRMWARE_DRIVERS for device in devices)
    told = ask("stacks", lambda: versions.probe(root, kept, with_firmware=loaded), Reading(Stacks()))
    cuda = next((vendor.cuda for vendor in vendors if vendor.cuda), None)
    return Accelerators(
        vendors,
        npus=ask("npu", lambda: npu.parse(devices), ()),
        stacks=replace(told, value=replace(told.value, cuda=cuda)),
        carve_out_bytes=ask("memory", lambda: reserved.probe(root, devices, known_gpus), None),
    )
