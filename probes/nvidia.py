"""NVIDIA GPUs, as NVML and the PCI bus show them.

NVML is no file below the root, so it is asked when something below the root speaks of NVIDIA. Without
such a trace the library isn't even looked for.
"""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from domain.hardware import BandwidthSource, Gpu, MemoryKind, Problem, Thermal, Trouble
from domain.known import KnownGpu
from probes import files, known, nvml, pci, thermals
from probes.found import Found
from probes.memory import Meminfo
from probes.nvml import Answers, DeviceAnswers
from probes.pci import PciDevice

# A driver, its device nodes, Jetson; WSL, whose Windows host may have another maker's GPU
TRACES = ("proc/driver/nvidia", "dev/nvidiactl", "etc/nv_tegra_release")
WSL = "dev/dxg"

# GB10, and the ids of its siblings in NVIDIA's driver, whose GPU works in the RAM of the CPU
UNIFIED_IDS = frozenset({"10de:2e12", "10de:2e03", "10de:2e06", "10de:2b00"})

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


def probe(root: Path, devices: Sequence[PciDevice], meminfo: Meminfo, table: Sequence[KnownGpu]) -> Found:
    cards = [one for one in devices if one.vendor == "10de" and one.is_gpu]
    sure = any(files.exists(root / trace) for trace in TRACES)
    if not cards and not sure and not files.exists(root / WSL):
        return Found()
    bound = {one.slot: one for one in cards if one.driver == "nvidia"}
    asleep = {slot: one for slot, one in bound.items() if one.asleep}
    sleepers = tuple(known.identity(one, table) for one in asleep.values())
    awake = {slot: one for slot, one in bound.items() if slot not in asleep}
    if cards and not awake:
        return Found(gpus=sleepers)
    answers = nvml.read(sorted(awake) if asleep else None)
    if answers.error is not None:
        return Found(
            gpus=sleepers, problems=refused(answers.error, module_version(root), sure=sure or bool(awake))
        )
    tegra = files.exists(root / "etc/nv_tegra_release")
    found = parse(answers, awake, meminfo, table, tegra=tegra)
    return Found((*found.gpus, *sleepers), found.thermals, found.problems, found.cuda)


def module_version(root: Path) -> str | None:
    return files.read(root / "sys/module/nvidia/version")


def parse(
    answers: Answers,
    awake: dict[str, PciDevice],
    meminfo: Meminfo,
    table: Sequence[KnownGpu],
    *,
    tegra: bool = False,
) -> Found:
    """``awake`` are the cards of the PCI bus that NVML should show, by slot."""
    gpus: list[Gpu] = []
    sensors: list[Thermal] = []
    problems: list[Problem] = []
    shown: set[str | None] = set()
    codes: list[int | None] = [*answers.handle_errors]  # of devices that don't say where they are
    for index, device in enumerate(answers.devices):
        slot, _ = device.values.get("pci", (None, None))
        place = slot or f"index {index}"
        if device.lost and slot is None:
            codes.append(nvml.GPU_IS_LOST)
            continue
        shown.add(slot)
        if device.lost:
            problems.append(_lost(place, nvml.GPU_IS_LOST))
            continue
        one = gpu(device, index, awake.get(slot or ""), meminfo, table, driver=answers.driver, tegra=tegra)
        gpus.append(one)
        if one.memory_kind is None:
            what = f"{one.name} at {place} reports no memory (NVML code {device.errors.get('memory_v2')})"
            problems.append(Problem("nvidia", what, "its memory is unknown, so nothing is planned on it"))
        sensors += _sensors(device, place)
    missing = sorted(slot for slot in awake if slot not in shown)
    problems += [_lost(slot or "an unknown slot", code) for slot, code in zip_longest(missing, codes)]
    cuda = answers.cuda_version
    version = f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None
    return Found(tuple(gpus), tuple(sensors), tuple(problems), version)


def gpu(
    device: DeviceAnswers,
    index: int,
    card: PciDevice | None,
    meminfo: Meminfo,
    table: Sequence[KnownGpu],
    *,
    driver: str | None = None,
    tegra: bool = False,
) -> Gpu:
    said = device.values
    slot, pci_id = said.get("pci", (None, ""))
    unified = tegra or pci_id in UNIFIED_IDS or known.is_unified(table, pci_id)
    kind, total, free = memory(device, meminfo, unified=unified)
    row = known.match(table, pci_id, total_bytes=total)
    bandwidth = row.bandwidth_bytes_per_s if row else None
    bandwidth = bandwidth or _bandwidth(said.get("memory_clock_mhz"), said.get("memory_bus_bits"))
    capability = said.get("capability")
    return Gpu(
        id=f"pci:{slot}" if slot else f"nvml:{index}",
        vendor="nvidia",
        name=said.get("name") or (row.name if row else f"NVIDIA {pci_id}".strip()),
        memory_kind=kind,
        memory_total_bytes=total,
        memory_free_bytes=free,
        bandwidth_bytes_per_s=bandwidth,
        bandwidth_source=BandwidthSource.PEAK if bandwidth else None,
        arch="sm_{}{}".format(*capability) if capability else (row.arch if row else None),
        driver=f"nvidia {driver}" if driver else "nvidia",
        pcie_bytes_per_s=None if kind is MemoryKind.UNIFIED else _link(device, card),
        temperature_c=thermals.plausible(said.get("temperature_v", said.get("temperature"))),
        power_w=said["power_mw"] / 1000 if "power_mw" in said else None,
        fp16_flops_per_s=row.fp16_flops_per_s if row else None,
        display_attached=_display(device, card),
    )


def memory(
    device: DeviceAnswers, meminfo: Meminfo, *, unified: bool
) -> tuple[MemoryKind | None, int | None, int | None]:
    """Kind, total and free bytes; what NVML does not tell of a card of its own memory stays unknown.

    A unified part has the RAM of the machine, whether NVML refuses (GB10), shows a carve-out (N1X) or
    shows the RAM. ATS alone proves nothing: Grace Hopper has it beside memory of its own.
    """
    for call in ("memory_v2", "memory_v1"):
        total, free = device.values.get(call, (0, 0))
        if total > 0 and not unified:
            return MemoryKind.DEDICATED, total, free
    if unified or device.values.get("addressing") == nvml.ADDRESSING_ATS:
        return MemoryKind.UNIFIED, meminfo.total_bytes, meminfo.unified_free_bytes
    return None, None, None


def refused(code: int, module: str | None, *, sure: bool) -> tuple[Problem, ...]:
    """NVML did not start, which is no news where nobody is sure of an NVIDIA GPU."""
    if not sure and code in (nvml.LIBRARY_NOT_FOUND, nvml.DRIVER_NOT_LOADED):
        return ()
    what = {
        nvml.LIBRARY_NOT_FOUND: "libnvidia-ml.so.1 is not installed, so the NVIDIA GPUs can't be used",
        nvml.DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
        nvml.VERSION_MISMATCH: f"the NVIDIA libraries don't match the loaded module {module or ''}".strip(),
    }.get(code, f"NVML does not start (code {code})")
    return (Problem("nvidia", what, HINTS.get(code, "see dmesg for lines of NVRM"), Trouble.DRIVER),)


def _lost(place: str, code: int | None) -> Problem:
    if code is None:
        what = f"the GPU at {place} has its driver and is not shown by NVML"
        return Problem("nvidia", what, HIDDEN, Trouble.HIDDEN)
    if code == nvml.GPU_IS_LOST:
        return Problem("nvidia", f"the GPU at {place} is lost", HINTS[code], Trouble.LOST)
    what = f"the GPU at {place} can't be opened (NVML code {code})"
    trouble = Trouble.CLOSED if code == nvml.NO_PERMISSION else Trouble.HIDDEN
    return Problem("nvidia", what, HINTS.get(code, HIDDEN), trouble)


def _bandwidth(clock_mhz: int | None, bus_bits: int | None) -> float | None:
    """2 x memory clock x bus width / 8: RTX 3090 9751 MHz x 384 bit = 936 GB/s, as its data sheet says."""
    return 2 * clock_mhz * 1e6 * bus_bits / 8 if clock_mhz and bus_bits else None


def _link(device: DeviceAnswers, card: PciDevice | None) -> float | None:
    on_the_bus = pci.link_bytes_per_s(card) if card else None
    if on_the_bus is not None:
        return on_the_bus
    lane = pci.GENERATIONS.get(device.values.get("pcie_generation", 0))
    width = device.values.get("pcie_width")
    return lane * width if lane and width else None


def _display(device: DeviceAnswers, card: PciDevice | None) -> bool | None:
    connected = pci.display_attached(card) if card else None
    if connected is None and "display_active" in device.values:
        return bool(device.values["display_active"])
    return connected


def _sensors(device: DeviceAnswers, place: str) -> list[Thermal]:
    said = device.values
    reading = said.get("temperature_v", said.get("temperature"))
    sensor = thermals.thermal(f"nvidia/{place}/gpu", reading, said.get("slowdown_c"), said.get("shutdown_c"))
    return [sensor] if sensor else []
