"""NVIDIA GPUs, from NVML and the PCI bus.

NVML is not a file below the root, so it is read only if something below the root shows that this machine may
have an NVIDIA GPU. Otherwise the library is not even searched for.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from domain.machine.accelerator import GpuProcess, Peer
from domain.machine.hardware import Gpu, Problem, ProblemKind
from domain.models.catalogue_types import KnownGpu
from probes import sysfs
from probes.gpus import device_table
from probes.gpus.nvidia import gpu as nvidia_gpu
from probes.gpus.nvidia import mig, nvml
from probes.gpus.nvidia.gpu import CardContext
from probes.gpus.nvidia.nvml import DeviceReport, NvmlReport
from probes.gpus.pci import PciDevice
from probes.gpus.processes import gpu_processes
from probes.memory.ram import Meminfo
from probes.result import VendorReading

# A driver, its device nodes, Jetson; and WSL, whose Windows host may have a GPU of another vendor
TRACES = ("proc/driver/nvidia", "dev/nvidiactl", "etc/nv_tegra_release")
WSL = "dev/dxg"

# Where the library is that the loader of a service does not find: WSL, NixOS, containers of a cluster
LIBRARY_FOLDERS = ("usr/lib/wsl/lib", "run/opengl-driver/lib", "usr/local/nvidia/lib64")

# Of containers whose devices a reload of systemd on the host took away: nvidia-container-toolkit#48
UNKNOWN_HINT = (
    "in a container, restart it, and name its devices (--device /dev/nvidia0 --device /dev/nvidiactl "
    "--device /dev/nvidia-uvm) so that a reload of systemd on the host does not take them away; "
    "else see the lines of NVRM in dmesg"
)
HINTS = {
    nvml.NO_PERMISSION: "let this user open /dev/nvidia*",
    nvml.DRIVER_NOT_LOADED: "sudo modprobe nvidia; after a kernel update the module may have to be rebuilt",
    nvml.LIBRARY_NOT_FOUND: "install the driver's libraries (libnvidia-ml1, nvidia-utils)",
    nvml.GPU_IS_LOST: "power the machine off and on; check riser, power cable and heat (dmesg: Xid 79)",
    nvml.VERSION_MISMATCH: "reboot",
    nvml.UNKNOWN: UNKNOWN_HINT,
}
HIDDEN_HINT = (
    "a unit's sandbox may hide it: DeviceAllow=char-nvidia and DeviceAllow=char-nvidia-uvm let it through"
)
NO_PARTITION_HINT = (
    "sudo nvidia-smi mig -cgi PROFILE -C creates a partition; sudo nvidia-smi -mig 0 turns MIG off"
)


def probe(
    root: Path, devices: Sequence[PciDevice], meminfo: Meminfo, known_gpus: Sequence[KnownGpu]
) -> VendorReading:
    cards = [device for device in devices if device.vendor == "10de" and device.is_gpu]
    has_traces = any(sysfs.exists(root / trace) for trace in TRACES)
    if not cards and not has_traces and not sysfs.exists(root / WSL):
        return VendorReading()
    bound = [card for card in cards if card.driver == "nvidia"]
    asleep = _asleep([card for card in bound if card.asleep], known_gpus)
    awake = {card.slot: card for card in bound if not card.asleep}
    if cards and not awake:
        return asleep
    folders = [root / folder for folder in LIBRARY_FOLDERS]
    report = nvml.read(sorted(awake) if asleep.gpus else None, folders)
    if report.error is not None:
        expected = has_traces or bool(awake)
        return replace(
            asleep, problems=startup_problems(report.error, module_version(root), expected=expected)
        )
    tegra = sysfs.exists(root / "etc/nv_tegra_release")
    context = CardContext(meminfo, known_gpus, report.driver, tegra)
    reading = build_reading(root, report, awake, context)
    reading = replace(
        reading,
        gpus=(*reading.gpus, *asleep.gpus),
        provenance={**reading.provenance, **asleep.provenance},
    )
    return mig.keep_visible_partition(reading, os.environ.get(mig.VISIBLE_DEVICES))


def _asleep(cards: Sequence[PciDevice], known_gpus: Sequence[KnownGpu]) -> VendorReading:
    """Cards that sleep, as the PCI bus and the device table describe them."""
    return VendorReading(
        gpus=tuple(device_table.identity(card, known_gpus) for card in cards),
        provenance={card.gpu_id: device_table.SOURCES for card in cards},
    )


def module_version(root: Path) -> str | None:
    return sysfs.read(root / "sys/module/nvidia/version")


def build_reading(
    root: Path, report: NvmlReport, awake: Mapping[str, PciDevice], context: CardContext
) -> VendorReading:
    """``awake`` are the cards of the PCI bus that NVML should report, by slot."""
    reading = VendorReading(cuda=_cuda_version(report.cuda_version))
    reported: set[str | None] = set()
    codes: list[int | None] = [*report.handle_errors]  # of devices whose slot is unknown
    ids: dict[int, str] = {}
    for index, device in enumerate(report.devices):
        slot, _ = device.values.get("pci", (None, None))
        if device.lost and slot is None:
            codes.append(nvml.GPU_IS_LOST)
            continue
        reported.add(slot)
        location = slot or f"index {index}"
        if device.lost:
            problem = _missing_gpu(location, nvml.GPU_IS_LOST)
            reading = replace(reading, problems=(*reading.problems, problem))
            continue
        gpu = nvidia_gpu.build_gpu(device, index, awake.get(slot or ""), context)
        ids[index] = gpu.id
        reading = _with_device(reading, root, gpu, device, location)
    missing = sorted(slot for slot in awake if slot not in reported)
    problems = (_missing_gpu(slot or "an unknown slot", code) for slot, code in zip_longest(missing, codes))
    gpus = tuple(_with_peers(gpu, report.devices, ids) for gpu in reading.gpus)
    provenance = {gpu.id: nvidia_gpu.sources_of(gpu, context) for gpu in (*gpus, *reading.set_aside)}
    return replace(reading, gpus=gpus, problems=(*reading.problems, *problems), provenance=provenance)


def _with_device(
    reading: VendorReading, root: Path, gpu: Gpu, device: DeviceReport, location: str
) -> VendorReading:
    """``reading`` with a card, or with its partitions: the card itself cannot be used then."""
    sensor = nvidia_gpu.temperature_sensor(device, location, gpu.id)
    reading = replace(reading, thermals=(*reading.thermals, sensor) if sensor else reading.thermals)
    if device.values.get("vgpu_host"):
        return _with_set_aside(reading, gpu, "its memory is assigned to virtual machines (vGPU host)")
    if device.values.get("mig_enabled"):
        return _with_partitions(reading, root, gpu, device, location)
    problems = reading.problems
    if gpu.memory_kind is None:
        what = f"{gpu.name} at {location} reports no memory (NVML code {device.errors.get('memory_v2')})"
        problems += (Problem("nvidia", what, "nothing is planned on a GPU whose memory is unknown"),)
    gpu = replace(gpu, tenants=_processes(root, device))
    return replace(reading, gpus=(*reading.gpus, gpu), problems=problems)


def _with_partitions(
    reading: VendorReading, root: Path, gpu: Gpu, device: DeviceReport, location: str
) -> VendorReading:
    partitions = [
        replace(nvidia_gpu.build_partition(partition, number, gpu), tenants=_processes(root, partition))
        for number, partition in enumerate(device.partitions)
    ]
    reading = replace(reading, gpus=(*reading.gpus, *partitions))
    if not partitions:
        what = f"{gpu.name} at {location} can't be used: MIG is on and there is no partition"
        reading = replace(reading, problems=(*reading.problems, Problem("nvidia", what, NO_PARTITION_HINT)))
    return _with_set_aside(reading, gpu, f"cut into {len(partitions)} MIG partitions")


def _with_set_aside(reading: VendorReading, gpu: Gpu, reason: str) -> VendorReading:
    return replace(reading, set_aside=(*reading.set_aside, replace(gpu, set_aside=reason)))


def _processes(root: Path, device: DeviceReport) -> tuple[GpuProcess, ...] | None:
    memory_by_pid = nvidia_gpu.process_memory(device)
    return None if memory_by_pid is None else gpu_processes(root, memory_by_pid)


def _with_peers(gpu: Gpu, devices: Sequence[DeviceReport], ids: Mapping[int, str]) -> Gpu:
    own_index = next((index for index, gpu_id in ids.items() if gpu_id == gpu.id), None)
    if own_index is None:
        return gpu
    peers = (
        Peer(ids[index], p2p, nvlinks)
        for index, (p2p, nvlinks) in devices[own_index].peers.items()
        if index in ids
    )
    return replace(gpu, peers=tuple(peers))


def _cuda_version(number: int | None) -> str | None:
    """13000 -> ``"13.0"``: the highest CUDA version that the driver runs."""
    return f"{number // 1000}.{number % 1000 // 10}" if number and number > 0 else None


def startup_problems(code: int, module: str | None, *, expected: bool) -> tuple[Problem, ...]:
    """NVML did not start. That is no problem if no NVIDIA GPU is ``expected`` here."""
    if not expected and code in (nvml.LIBRARY_NOT_FOUND, nvml.DRIVER_NOT_LOADED):
        return ()
    what = {
        nvml.LIBRARY_NOT_FOUND: "libnvidia-ml.so.1 is not installed, so the NVIDIA GPUs can't be used",
        nvml.DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
        nvml.VERSION_MISMATCH: f"the NVIDIA libraries don't match the loaded module {module or ''}".strip(),
    }.get(code, f"NVML does not start (code {code})")
    hint = HINTS.get(code, "see the lines of NVRM in dmesg")
    return (Problem("nvidia", what, hint, ProblemKind.DRIVER),)


def _missing_gpu(location: str, code: int | None) -> Problem:
    if code is None:
        what = f"the GPU at {location} has its driver but NVML does not report it"
        return Problem("nvidia", what, HIDDEN_HINT, ProblemKind.HIDDEN)
    if code == nvml.GPU_IS_LOST:
        return Problem("nvidia", f"the GPU at {location} is lost", HINTS[code], ProblemKind.LOST)
    what = f"the GPU at {location} can't be opened (NVML code {code})"
    kind = ProblemKind.CLOSED if code == nvml.NO_PERMISSION else ProblemKind.HIDDEN
    return Problem("nvidia", what, HINTS.get(code, HIDDEN_HINT), kind)
