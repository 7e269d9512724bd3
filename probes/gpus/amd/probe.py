"""AMD GPUs, as amdgpu's sysfs files and KFD show them."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from domain.accelerator import Tenant
from domain.catalogue_types import KnownGpu
from domain.hardware import BandwidthSource, Gpu, MemoryKind, Problem, ProblemKind
from domain.provenance import Certainty, Provenance
from probes import sysfs
from probes.gpus import device_table, pci, pcie_link
from probes.gpus.amd import apu, kfd, sensors
from probes.gpus.amd.kfd import Node, Topology
from probes.gpus.drm_clients import Held
from probes.gpus.pci import PciDevice
from probes.gpus.processes import tenants
from probes.memory.ram import Meminfo
from probes.result import ToldBy, VendorReading

# Ryzen desktop processors have a display output of 2 CUs that ROCm and Vulkan show as a GPU with half of
# the RAM; slower than the cores beside it. By id where KFD is absent: Raphael, Granite Ridge (pci.ids)
DISPLAY_ONLY_CUS = 2
DISPLAY_ONLY_IDS = frozenset({"1002:164e", "1002:13c0"})
DISPLAY_ONLY = "an integrated display output, slower than the CPU"

OWN = Provenance("sysfs", Certainty.DERIVED, "board_info: only cards with memory of their own have it")
TOLD = {
    **device_table.TOLD,
    **dict.fromkeys(("memory_kind", "is_integrated"), OWN),
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
    "throttled_by": Provenance("sysfs", note="gpu_metrics; the hotspot's bit counts from 90 °C on"),
    "link": pcie_link.TOLD,
    "pcie_bytes_per_s": pcie_link.RATE_TOLD,
    "display_attached": Provenance("drm"),
    "tenants": Provenance(
        "proc", note="fdinfo of the processes that this user may look into; KFD's counts of all"
    ),
}


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """What every card is seen with. ``users`` are bytes by slot and process id."""

    root: Path
    topology: Topology
    meminfo: Meminfo
    table: Sequence[KnownGpu]
    users: Held


def probe(
    root: Path,
    devices: Sequence[PciDevice],
    meminfo: Meminfo,
    table: Sequence[KnownGpu],
    users: Held | None = None,
) -> VendorReading:
    cards = [one for one in devices if one.vendor == "1002" and one.is_gpu and one.driver == "amdgpu"]
    if not cards:
        return VendorReading()
    ground = ProbeContext(root, kfd.probe(root), meminfo, table, users or {})
    version = sysfs.read(root / "sys/module/amdgpu/version") or sysfs.read(root / "proc/sys/kernel/osrelease")
    found = VendorReading(problems=(*ground.topology.problems, *_permissions(root)))
    for card in cards:
        seen = _card(ground, card)
        driver = f"amdgpu {version}" if version else "amdgpu"
        found = replace(
            found,
            gpus=(*found.gpus, *(replace(gpu, driver=driver) for gpu in seen.gpus)),
            set_aside=(*found.set_aside, *(replace(gpu, driver=driver) for gpu in seen.set_aside)),
            problems=(*found.problems, *seen.problems),
            told={**found.told, **seen.told},
        )
    return found


def _card(ground: ProbeContext, card: PciDevice) -> VendorReading:
    node = ground.topology.gpu(card.slot)
    if _display_only(card, node):
        gpu = replace(device_table.identity(card, ground.table), is_integrated=True, set_aside=DISPLAY_ONLY)
        return VendorReading(set_aside=(gpu,))
    if card.asleep:
        gpu = device_table.identity(card, ground.table)
        return VendorReading(gpus=(replace(gpu, arch=node.arch or gpu.arch) if node else gpu,))
    gpu, problems, told = _awake(ground, card, node)
    parts = ground.topology.parts(card.slot)
    if len(parts) < 2:
        return VendorReading((gpu,), problems=problems, told={gpu.id: told})
    whole = replace(gpu, set_aside=f"cut into {len(parts)} partitions")
    cut = tuple(_partition(gpu, part, number, len(parts)) for number, part in enumerate(parts))
    return VendorReading(
        cut, problems=problems, set_aside=(whole,), told={one.id: told for one in (whole, *cut)}
    )


def _display_only(card: PciDevice, node: Node | None) -> bool:
    if node and node.compute_units:
        return node.compute_units <= DISPLAY_ONLY_CUS
    return card.pci_id in DISPLAY_ONLY_IDS


def _awake(
    ground: ProbeContext, card: PciDevice, node: Node | None
) -> tuple[Gpu, tuple[Problem, ...], ToldBy]:
    pools = apu.read(ground.root, card)
    shares_ram = is_apu(card, ground.table)
    gpu = device_table.identity(card, ground.table, None if shares_ram else pools.vram_bytes)
    gpu = replace(
        gpu,
        arch=(node.arch if node else None) or gpu.arch,
        compute_units=node.compute_units if node else None,
        uuid=_unique_id(card),
        is_integrated=shares_ram,
        display_attached=pci.display_attached(card),
        tenants=_tenants(ground, card, node),
        **asdict(sensors.read(card)),
    )
    if shares_ram:
        return *apu.complete(gpu, pools, node, ground.topology, ground.meminfo), {**TOLD, **apu.TOLD}
    bandwidth = gpu.bandwidth_bytes_per_s or gddr6_bandwidth(node)
    total = pools.vram_bytes or (node.bank.size_bytes if node else None)
    dedicated = replace(
        gpu,
        memory_kind=MemoryKind.DEDICATED,
        memory_total_bytes=total,
        memory_free_bytes=apu.left(total, pools.vram_used_bytes),
        bandwidth_bytes_per_s=bandwidth,
        bandwidth_source=BandwidthSource.PEAK if bandwidth else None,
        link=(found := pcie_link.probe(card)),
        pcie_bytes_per_s=pcie_link.bytes_per_s(found),
    )
    if total is None:
        what = f"{gpu.name} at {card.slot} does not tell its memory"
        hint = "nothing is planned on it; is amdgpu's sysfs readable?"
        return dedicated, (Problem("amd", what, hint),), TOLD
    return dedicated, (), TOLD


def _partition(card: Gpu, node: Node, number: int, count: int) -> Gpu:
    """An accelerator partition (CPX, DPX...) of an Instinct card, which ROCm shows as a device of its own."""
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


def _tenants(ground: ProbeContext, card: PciDevice, node: Node | None) -> tuple[Tenant, ...]:
    """KFD and the DRM clients count the same buffers of a ROCm process: the larger figure has all."""
    held: dict[int, int | None] = dict(ground.users.get(card.slot, {}))
    for pid, size in (kfd.processes(ground.root, node) if node else {}).items():
        held[pid] = max(size or 0, held.get(pid) or 0) or None
    return tenants(ground.root, held)


def _unique_id(card: PciDevice) -> str | None:
    """Absent or 0 on APUs and on some cards."""
    unique = sysfs.read(card.path / "unique_id")
    return unique if unique and unique.strip("0") else None


def is_apu(card: PciDevice, table: Sequence[KnownGpu]) -> bool:
    """Only cards with memory of their own have ``board_info`` and ``mem_info_vram_vendor``."""
    own = ("board_info", "mem_info_vram_vendor")
    return device_table.is_unified(table, card.pci_id) or not any(
        sysfs.exists(card.path / name) for name in own
    )


def gddr6_bandwidth(node: Node | None) -> float | None:
    """Memory clock x 16 x width / 8 on RDNA cards, which all have GDDR6.

    A 7900 XTX has 1249 MHz and 384 bit: 959 GB/s, as its data sheet says.
    """
    if not node or not (node.arch or "").startswith(("gfx10", "gfx11", "gfx12")):
        return None
    clock, width = node.bank.clock_mhz, node.bank.width_bits
    return clock * 1e6 * 16 * width / 8 if clock and width else None


def _permissions(root: Path) -> tuple[Problem, ...]:
    """ROCm and Vulkan open these; the files of /sys are readable without them."""
    renders = (name for name in sysfs.entries(root / "dev/dri") if name.startswith("renderD"))
    nodes = [Path("dev/kfd"), *(Path("dev/dri") / name for name in renders)]
    closed = [f"/{node}" for node in nodes if _closed(root / node)]
    if not closed:
        return ()
    what = f"the GPU is present and this user may not open {', '.join(closed)}"
    hint = "sudo usermod -aG render,video $USER, then log in again"
    return (Problem("amd", what, hint, ProblemKind.CLOSED),)


def _closed(node: Path) -> bool:
    return sysfs.exists(node) and not os.access(node, os.R_OK | os.W_OK)
