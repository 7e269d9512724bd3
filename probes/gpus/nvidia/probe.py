"""NVIDIA GPUs, as NVML and the PCI bus show them.

NVML is no file below the root, so it is asked when something below the root speaks of NVIDIA. Without
such a trace the library isn't even looked for.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from domain.accelerator import Peer, Tenant
from domain.catalogue_types import KnownGpu
from domain.hardware import Gpu, Problem, ProblemKind
from probes import sysfs
from probes.gpus import device_table
from probes.gpus.nvidia import gpu as nvidia_gpu
from probes.gpus.nvidia import mig, nvml
from probes.gpus.nvidia.gpu import Host
from probes.gpus.nvidia.nvml import Answers, DeviceAnswers
from probes.gpus.pci import PciDevice
from probes.gpus.processes import tenants
from probes.memory.ram import Meminfo
from probes.result import VendorReading

# A driver, its device nodes, Jetson; WSL, whose Windows host may have another maker's GPU
TRACES = ("proc/driver/nvidia", "dev/nvidiactl", "etc/nv_tegra_release")
WSL = "dev/dxg"

# Where the library lies that a service's loader doesn't find: WSL, NixOS, containers of a cluster
FOLDERS = ("usr/lib/wsl/lib", "run/opengl-driver/lib", "usr/local/nvidia/lib64")

HINTS = {
    nvml.NO_PERMISSION: "let this user open /dev/nvidia*",
    nvml.DRIVER_NOT_LOADED: "sudo modprobe nvidia; after a kernel update the module may need building",
    nvml.LIBRARY_NOT_FOUND: "install the driver's libraries (libnvidia-ml1, nvidia-utils)",
    nvml.GPU_IS_LOST: "power the machine off and on; look at riser, power cable and heat (dmesg: Xid 79)",
    nvml.VERSION_MISMATCH: "reboot",
}
HIDDEN = (
    "a unit's sandbox may hide it: DeviceAllow=char-nvidia and DeviceAllow=char-nvidia-uvm let it through"
)
UNCUT = "sudo nvidia-smi mig -cgi PROFILE -C makes a partition; sudo nvidia-smi -mig 0 gives the card back"


def probe(
    root: Path, devices: Sequence[PciDevice], meminfo: Meminfo, table: Sequence[KnownGpu]
) -> VendorReading:
    cards = [one for one in devices if one.vendor == "10de" and one.is_gpu]
    sure = any(sysfs.exists(root / trace) for trace in TRACES)
    if not cards and not sure and not sysfs.exists(root / WSL):
        return VendorReading()
    bound = {one.slot: one for one in cards if one.driver == "nvidia"}
    asleep = {slot: one for slot, one in bound.items() if one.asleep}
    sleepers = VendorReading(
        gpus=tuple(device_table.identity(one, table) for one in asleep.values()),
        told={one.gpu_id: device_table.TOLD for one in asleep.values()},
    )
    awake = {slot: one for slot, one in bound.items() if slot not in asleep}
    if cards and not awake:
        return sleepers
    answers = nvml.read(sorted(awake) if asleep else None, [root / folder for folder in FOLDERS])
    if answers.error is not None:
        return replace(
            sleepers, problems=refused(answers.error, module_version(root), sure=sure or bool(awake))
        )
    tegra = sysfs.exists(root / "etc/nv_tegra_release")
    found = parse(root, answers, awake, Host(meminfo, table, answers.driver, tegra))
    found = replace(found, gpus=(*found.gpus, *sleepers.gpus), told={**found.told, **sleepers.told})
    return mig.of_one_process(found, os.environ.get(mig.CHOOSING))


def module_version(root: Path) -> str | None:
    return sysfs.read(root / "sys/module/nvidia/version")


def parse(root: Path, answers: Answers, awake: Mapping[str, PciDevice], host: Host) -> VendorReading:
    """``awake`` are the cards of the PCI bus that NVML should show, by slot."""
    found = VendorReading(cuda=_version(answers.cuda_version))
    shown: set[str | None] = set()
    codes: list[int | None] = [*answers.handle_errors]  # of devices that don't say where they are
    ids: dict[int, str] = {}
    for index, device in enumerate(answers.devices):
        slot, _ = device.values.get("pci", (None, None))
        if device.lost and slot is None:
            codes.append(nvml.GPU_IS_LOST)
            continue
        shown.add(slot)
        place = slot or f"index {index}"
        if device.lost:
            found = replace(found, problems=(*found.problems, _lost(place, nvml.GPU_IS_LOST)))
            continue
        card = nvidia_gpu.gpu(device, index, awake.get(slot or ""), host)
        ids[index] = card.id
        found = _add(found, root, card, device, place)
    missing = sorted(slot for slot in awake if slot not in shown)
    lost = (_lost(slot or "an unknown slot", code) for slot, code in zip_longest(missing, codes))
    gpus = tuple(_with_peers(gpu, answers.devices, ids) for gpu in found.gpus)
    told = {gpu.id: nvidia_gpu.told(gpu, host) for gpu in (*gpus, *found.set_aside)}
    return replace(found, gpus=gpus, problems=(*found.problems, *lost), told=told)


def _add(found: VendorReading, root: Path, card: Gpu, device: DeviceAnswers, place: str) -> VendorReading:
    """A card, or what it is cut into: then its own memory is not to be had."""
    said = device.values
    sensor = nvidia_gpu.sensor(device, place, card.id)
    found = replace(found, thermals=(*found.thermals, sensor) if sensor else found.thermals)
    if said.get("vgpu_host"):
        return _set_aside(found, card, "its memory is handed out to virtual machines (vGPU host)")
    if said.get("mig_enabled"):
        parts = [
            replace(nvidia_gpu.partition(part, number, card), tenants=_tenants(root, part))
            for number, part in enumerate(device.partitions)
        ]
        found = replace(found, gpus=(*found.gpus, *parts))
        if not parts:
            what = f"MIG is on for {card.name} at {place} and no partition is made, so it can't be used"
            found = replace(found, problems=(*found.problems, Problem("nvidia", what, UNCUT)))
        return _set_aside(found, card, f"cut into {len(parts)} MIG partitions")
    problems = found.problems
    if card.memory_kind is None:
        what = f"{card.name} at {place} reports no memory (NVML code {device.errors.get('memory_v2')})"
        problems += (Problem("nvidia", what, "its memory is unknown, so nothing is planned on it"),)
    card = replace(card, tenants=_tenants(root, device))
    return replace(found, gpus=(*found.gpus, card), problems=problems)


def _set_aside(found: VendorReading, card: Gpu, why: str) -> VendorReading:
    return replace(found, set_aside=(*found.set_aside, replace(card, set_aside=why)))


def _tenants(root: Path, device: DeviceAnswers) -> tuple[Tenant, ...] | None:
    holders = nvidia_gpu.holders(device)
    return None if holders is None else tenants(root, holders)


def _with_peers(gpu: Gpu, devices: Sequence[DeviceAnswers], ids: Mapping[int, str]) -> Gpu:
    own = next((index for index, id_ in ids.items() if id_ == gpu.id), None)
    if own is None:
        return gpu
    peers = (
        Peer(ids[index], reads, joined)
        for index, (reads, joined) in devices[own].peers.items()
        if index in ids
    )
    return replace(gpu, peers=tuple(peers))


def _version(cuda: int | None) -> str | None:
    """13000 -> ``"13.0"``: the highest CUDA that the driver can run."""
    return f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda and cuda > 0 else None


def refused(code: int, module: str | None, *, sure: bool) -> tuple[Problem, ...]:
    """NVML did not start, which is no news where nobody is sure of an NVIDIA GPU."""
    if not sure and code in (nvml.LIBRARY_NOT_FOUND, nvml.DRIVER_NOT_LOADED):
        return ()
    what = {
        nvml.LIBRARY_NOT_FOUND: "libnvidia-ml.so.1 is not installed, so the NVIDIA GPUs can't be used",
        nvml.DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
        nvml.VERSION_MISMATCH: f"the NVIDIA libraries don't match the loaded module {module or ''}".strip(),
    }.get(code, f"NVML does not start (code {code})")
    return (Problem("nvidia", what, HINTS.get(code, "see dmesg for lines of NVRM"), ProblemKind.DRIVER),)


def _lost(place: str, code: int | None) -> Problem:
    if code is None:
        what = f"the GPU at {place} has its driver and is not shown by NVML"
        return Problem("nvidia", what, HIDDEN, ProblemKind.HIDDEN)
    if code == nvml.GPU_IS_LOST:
        return Problem("nvidia", f"the GPU at {place} is lost", HINTS[code], ProblemKind.LOST)
    what = f"the GPU at {place} can't be opened (NVML code {code})"
    trouble = ProblemKind.CLOSED if code == nvml.NO_PERMISSION else ProblemKind.HIDDEN
    return Problem("nvidia", what, HINTS.get(code, HIDDEN), trouble)
