"""AMD GPUs, from amdgpu's files in sysfs and from KFD."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from domain.machine.accelerator import GpuProcess
from domain.machine.hardware import BandwidthSource, Gpu, MemoryKind, Problem, ProblemKind
from domain.machine.provenance import Certainty, Provenance
from domain.models.catalogue_types import KnownGpu
from probes import sysfs
from probes.gpus import device_nodes, device_table, pci, pcie_link
from probes.gpus.amd import apu, kfd, sensors
from probes.gpus.amd.kfd import Node, Topology
from probes.gpus.drm_clients import DrmMemory
from probes.gpus.pci import PciDevice
from probes.gpus.processes import gpu_processes
from probes.memory.ram import Meminfo
from probes.result import FieldSources, VendorReading

# Ryzen desktop processors have a display output of 2 compute units that ROCm and Vulkan show as a GPU with
# half of the RAM; it is slower than the CPU's cores. By id if KFD is absent: Raphael, Granite Ridge (pci.ids)
DISPLAY_ONLY_CUS = 2
DISPLAY_ONLY_IDS = frozenset({"1002:164e", "1002:13c0"})
DISPLAY_ONLY = "an integrated display output, slower than the CPU"

# Architectures of APUs, and those of which there are APUs and cards: LLVM, AMDGPUUsage, "Target Properties"
APU_ARCHS = frozenset(
    {
        *("gfx902", "gfx909", "gfx90c", "gfx1013", "gfx1033", "gfx1035", "gfx1036"),
        *("gfx1103", "gfx1150", "gfx1151", "gfx1152", "gfx1153"),
    }
)
EITHER_ARCHS = frozenset({"gfx942"})

OWN_MEMORY_SOURCE = Provenance(
    "sysfs", Certainty.DERIVED, "board_info: only cards with memory of their own have it"
)
SOURCES = {
    **device_table.SOURCES,
    **dict.fromkeys(("memory_kind", "is_integrated"), OWN_MEMORY_SOURCE),
    "memory_total_bytes": Provenance("sysfs", note="mem_info_vram_total"),
    "memory_free_bytes": Provenance("sysfs", Certainty.DERIVED, "mem_info_vram_total - mem_info_vram_used"),
    "arch": Provenance("kfd", note="gfx_target_version"),
    "uuid": Provenance("sysfs", note="unique_id"),
    "compute_units": Provenance("kfd", Certainty.DERIVED, "simd_count / simd_per_cu"),
    "driver": Provenance("sysfs"),
    "temperature_c": Provenance("hwmon", note="edge"),
    "power_w": Provenance("hwmon"),
    "power_limit_w": Provenance("hwmon", note="power1_cap"),
    "power_default_w": Provenance("hwmon", note="power1_cap_default"),
    "throttled_by": Provenance("sysfs", note="gpu_metrics; the hotspot's bit only from 90 °C"),
    "link": pcie_link.SOURCE,
    "pcie_bytes_per_s": pcie_link.RATE_SOURCE,
    "display_attached": Provenance("drm"),
    "tenants": Provenance(
        "proc", note="fdinfo of the processes that this user may inspect; KFD's counts of all"
    ),
}


@dataclass(frozen=True, slots=True)
class CardContext:
    """What the files of each card are combined with."""

    root: Path
    topology: Topology
    meminfo: Meminfo
    known_gpus: Sequence[KnownGpu]
    drm_memory: DrmMemory


def probe(
    root: Path,
    devices: Sequence[PciDevice],
    meminfo: Meminfo,
    known_gpus: Sequence[KnownGpu],
    drm_memory: DrmMemory | None = None,
) -> VendorReading:
    cards = [
        device
        for device in devices
        if device.vendor == "1002" and device.is_gpu and device.driver == "amdgpu"
    ]
    if not cards:
        return VendorReading()
    context = CardContext(root, kfd.probe(root), meminfo, known_gpus, drm_memory or {})
    version = sysfs.read(root / "sys/module/amdgpu/version") or sysfs.read(root / "proc/sys/kernel/osrelease")
    driver = f"amdgpu {version}" if version else "amdgpu"
    reading = VendorReading(problems=(*context.topology.problems, *_permission_problems(root)))
    for card in cards:
        reading = reading.plus(_card(context, card))
    return replace(
        reading,
        gpus=tuple(replace(gpu, driver=driver) for gpu in reading.gpus),
        set_aside=tuple(replace(gpu, driver=driver) for gpu in reading.set_aside),
    )


def _card(context: CardContext, card: PciDevice) -> VendorReading:
    node = context.topology.gpu(card.slot)
    if _is_display_only(card, node):
        gpu = device_table.identity(card, context.known_gpus)
        return VendorReading(set_aside=(replace(gpu, is_integrated=True, set_aside=DISPLAY_ONLY),))
    if card.asleep:
        return VendorReading(gpus=(_sleeping_gpu(context, card, node),))
    gpu, problems, provenance = _awake_gpu(context, card, node)
    if absent := device_nodes.missing(context.root, card):
        return device_nodes.set_aside("amd", gpu, absent, provenance)
    nodes = context.topology.partitions(card.slot)
    if len(nodes) < 2:
        return VendorReading((gpu,), problems=problems, provenance={gpu.id: provenance})
    whole = replace(gpu, set_aside=f"cut into {len(nodes)} partitions")
    partitions = tuple(_partition(gpu, node, number, len(nodes)) for number, node in enumerate(nodes))
    return VendorReading(
        partitions,
        problems=problems,
        set_aside=(whole,),
        provenance={gpu.id: provenance for gpu in (whole, *partitions)},
    )


def _is_display_only(card: PciDevice, node: Node | None) -> bool:
    if node and node.compute_units:
        return node.compute_units <= DISPLAY_ONLY_CUS
    return card.pci_id in DISPLAY_ONLY_IDS


def _sleeping_gpu(context: CardContext, card: PciDevice, node: Node | None) -> Gpu:
    """By the PCI bus, the table and KFD, which all wake nothing."""
    gpu = device_table.identity(card, context.known_gpus, node.bank.size_bytes if node else None)
    if node is None or is_apu(card, context.known_gpus, node):
        return replace(gpu, arch=node.arch or gpu.arch) if node else gpu
    bandwidth = gpu.bandwidth_bytes_per_s or gddr6_bandwidth(node)
    return replace(
        gpu,
        arch=node.arch or gpu.arch,
        compute_units=node.compute_units,
        memory_kind=MemoryKind.DEDICATED,
        memory_total_bytes=node.bank.size_bytes or gpu.memory_total_bytes,
        bandwidth_bytes_per_s=bandwidth,
        bandwidth_source=BandwidthSource.PEAK if bandwidth else None,
        is_integrated=False,
    )


def _awake_gpu(
    context: CardContext, card: PciDevice, node: Node | None
) -> tuple[Gpu, tuple[Problem, ...], FieldSources]:
    pools = apu.read(context.root, card)
    shares_ram = is_apu(card, context.known_gpus, node)
    gpu = device_table.identity(card, context.known_gpus, None if shares_ram else pools.vram_bytes)
    gpu = replace(
        gpu,
        arch=(node.arch if node else None) or gpu.arch,
        compute_units=node.compute_units if node else None,
        uuid=_unique_id(card),
        is_integrated=shares_ram,
        display_attached=pci.display_attached(card),
        tenants=_processes(context, card, node),
        **asdict(sensors.read(card)),
    )
    if shares_ram:
        gpu, problems = apu.with_memory(gpu, pools, node, context.topology, context.meminfo)
        return gpu, problems, {**SOURCES, **apu.SOURCES}
    bandwidth = gpu.bandwidth_bytes_per_s or gddr6_bandwidth(node)
    total_bytes = pools.vram_bytes or (node.bank.size_bytes if node else None)
    link = pcie_link.probe(card)
    gpu = replace(
        gpu,
        memory_kind=MemoryKind.DEDICATED,
        memory_total_bytes=total_bytes,
        memory_free_bytes=apu.remaining_bytes(total_bytes, pools.vram_used_bytes),
        bandwidth_bytes_per_s=bandwidth,
        bandwidth_source=BandwidthSource.PEAK if bandwidth else None,
        link=link,
        pcie_bytes_per_s=pcie_link.bytes_per_s(link),
    )
    if total_bytes is not None:
        return gpu, (), SOURCES
    what = f"the memory of {gpu.name} at {card.slot} is unknown, so nothing is planned on it"
    return gpu, (Problem("amd", what, "check that amdgpu's files in /sys are readable"),), SOURCES


def _partition(card: Gpu, node: Node, number: int, count: int) -> Gpu:
    """A compute partition (CPX, DPX...) of an Instinct card, which ROCm shows as a device of its own."""
    size = node.bank.size_bytes
    free = card.memory_free_bytes
    peak, compute = card.bandwidth_bytes_per_s, card.fp16_flops_per_s
    return replace(
        card,
        id=f"{card.id}:{number}",
        parent=card.id,
        name=f"{card.name}, partition {number}",
        memory_total_bytes=size,
        memory_free_bytes=None if size is None or free is None else min(size, free),
        compute_units=node.compute_units,
        bandwidth_bytes_per_s=peak / count if peak else None,
        fp16_flops_per_s=compute / count if compute else None,
        tenants=None,
    )


def _processes(context: CardContext, card: PciDevice, node: Node | None) -> tuple[GpuProcess, ...]:
    """KFD and the DRM clients count the same buffers of a ROCm process: the larger figure is complete."""
    memory_by_pid: dict[int, int | None] = dict(context.drm_memory.get(card.slot, {}))
    for pid, size in (kfd.process_memory(context.root, node) if node else {}).items():
        memory_by_pid[pid] = max(size or 0, memory_by_pid.get(pid) or 0) or None
    return gpu_processes(context.root, memory_by_pid)


def _unique_id(card: PciDevice) -> str | None:
    """Absent or 0 on APUs and on some cards."""
    unique = sysfs.read(card.path / "unique_id")
    return unique if unique and unique.strip("0") else None


def is_apu(card: PciDevice, known_gpus: Sequence[KnownGpu], node: Node | None = None) -> bool:
    """By the table, else by KFD's architecture, else by the files that only cards with memory of their own
    have, which old kernels lack."""
    known = device_table.is_unified(known_gpus, card.pci_id)
    if known is not None:
        return known
    if node is not None and node.arch is not None and node.arch not in EITHER_ARCHS:
        return node.arch in APU_ARCHS
    return not any(sysfs.exists(card.path / name) for name in ("board_info", "mem_info_vram_vendor"))


def gddr6_bandwidth(node: Node | None) -> float | None:
    """Memory clock x 16 x width / 8 on RDNA cards, which all have GDDR6.

    A 7900 XTX has 1249 MHz and 384 bit: 959 GB/s, as in its data sheet.
    """
    if not node or not (node.arch or "").startswith(("gfx10", "gfx11", "gfx12")):
        return None
    clock, width = node.bank.clock_mhz, node.bank.width_bits
    return clock * 1e6 * 16 * width / 8 if clock and width else None


def _permission_problems(root: Path) -> tuple[Problem, ...]:
    """ROCm and Vulkan open these device nodes; the files of /sys are readable without them."""
    renders = (name for name in sysfs.entries(root / "dev/dri") if name.startswith("renderD"))
    nodes = [Path("dev/kfd"), *(Path("dev/dri") / name for name in renders)]
    closed = [f"/{node}" for node in nodes if _is_closed(root / node)]
    if not closed:
        return ()
    what = f"the GPU is present and this user may not open {', '.join(closed)}"
    hint = "sudo usermod -aG render,video $USER, then log in again"
    return (Problem("amd", what, hint, ProblemKind.CLOSED),)


def _is_closed(node: Path) -> bool:
    return sysfs.exists(node) and not os.access(node, os.R_OK | os.W_OK)
