"""AMD GPUs, as amdgpu's sysfs files and KFD show them."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domain.hardware import BandwidthSource, Gpu, MemoryKind, Problem, Trouble
from domain.known import KnownGpu
from probes import apu, files, kfd, known, link, pci, thermals
from probes.found import Found
from probes.kfd import Node, Topology
from probes.memory import Meminfo
from probes.pci import PciDevice

log = logging.getLogger(__name__)

# Ryzen desktop processors have a display output of 2 CUs that ROCm and Vulkan show as a GPU with half of
# the RAM; slower than the cores beside it. By id where KFD is absent: Raphael, Granite Ridge (pci.ids)
DISPLAY_ONLY_CUS = 2
DISPLAY_ONLY_IDS = frozenset({"1002:164e", "1002:13c0"})


def probe(root: Path, devices: Sequence[PciDevice], meminfo: Meminfo, table: Sequence[KnownGpu]) -> Found:
    cards = [one for one in devices if one.vendor == "1002" and one.is_gpu and one.driver == "amdgpu"]
    if not cards:
        return Found()
    topology = kfd.probe(root)
    version = files.read(root / "sys/module/amdgpu/version") or files.read(root / "proc/sys/kernel/osrelease")
    gpus, problems = [], [*topology.problems, *_permissions(root)]
    for card in cards:
        node = topology.gpu(card.slot)
        if _display_only(card, node):
            log.info("integrated GPU set aside: slot=%s id=%s", card.slot, card.pci_id)
            continue
        if card.asleep:
            gpu = _asleep(card, node, table)
        else:
            gpu, found = _awake(root, card, node, topology, meminfo, table)
            problems += found
        gpus.append(replace(gpu, driver=f"amdgpu {version}" if version else "amdgpu"))
    return Found(gpus=tuple(gpus), problems=tuple(problems))


def _display_only(card: PciDevice, node: Node | None) -> bool:
    if node and node.compute_units:
        return node.compute_units <= DISPLAY_ONLY_CUS
    return card.pci_id in DISPLAY_ONLY_IDS


def _asleep(card: PciDevice, node: Node | None, table: Sequence[KnownGpu]) -> Gpu:
    gpu = known.identity(card, table)
    return replace(gpu, arch=node.arch or gpu.arch) if node else gpu


def _awake(
    root: Path,
    card: PciDevice,
    node: Node | None,
    topology: Topology,
    meminfo: Meminfo,
    table: Sequence[KnownGpu],
) -> tuple[Gpu, tuple[Problem, ...]]:
    pools = apu.read(root, card)
    shares_ram = is_apu(card, table)
    gpu = known.identity(card, table, None if shares_ram else pools.vram_bytes)
    gpu = replace(
        gpu,
        arch=(node.arch if node else None) or gpu.arch,
        temperature_c=_sensor(card, "temp1_input", 1000),
        # RDNA cards may have only one of the two; on an APU it is the whole package
        power_w=_sensor(card, "power1_average", 1_000_000) or _sensor(card, "power1_input", 1_000_000),
        display_attached=pci.display_attached(card),
    )
    if shares_ram:
        return apu.complete(gpu, pools, node, topology, meminfo)
    bandwidth = gpu.bandwidth_bytes_per_s or gddr6_bandwidth(node)
    total = pools.vram_bytes or (node.bank.size_bytes if node else None)
    dedicated = replace(
        gpu,
        memory_kind=MemoryKind.DEDICATED,
        memory_total_bytes=total,
        memory_free_bytes=apu.left(total, pools.vram_used_bytes),
        bandwidth_bytes_per_s=bandwidth,
        bandwidth_source=BandwidthSource.PEAK if bandwidth else None,
        link=(found := link.probe(card)),
        pcie_bytes_per_s=link.bytes_per_s(found),
    )
    if total is None:
        what = f"{gpu.name} at {card.slot} does not tell its memory"
        return dedicated, (Problem("amd", what, "nothing is planned on it; is amdgpu's sysfs readable?"),)
    return dedicated, ()


def is_apu(card: PciDevice, table: Sequence[KnownGpu]) -> bool:
    """Only cards with memory of their own have ``board_info`` and ``mem_info_vram_vendor``."""
    own = ("board_info", "mem_info_vram_vendor")
    return known.is_unified(table, card.pci_id) or not any(files.exists(card.path / name) for name in own)


def gddr6_bandwidth(node: Node | None) -> float | None:
    """Memory clock x 16 x width / 8 on RDNA cards, which all have GDDR6.

    A 7900 XTX has 1249 MHz and 384 bit: 959 GB/s, as its data sheet says.
    """
    if not node or not (node.arch or "").startswith(("gfx10", "gfx11", "gfx12")):
        return None
    clock, width = node.bank.clock_mhz, node.bank.width_bits
    return clock * 1e6 * 16 * width / 8 if clock and width else None


def _sensor(card: PciDevice, name: str, divisor: int) -> float | None:
    folder = card.path / "hwmon"
    values = (files.read_int(folder / monitor / name) for monitor in files.entries(folder))
    value = next((value for value in values if value is not None), None)
    if value is None:
        return None
    return thermals.plausible(value / divisor) if name.startswith("temp") else value / divisor


def _permissions(root: Path) -> tuple[Problem, ...]:
    """ROCm and Vulkan open these; the files of /sys are readable without them."""
    renders = (name for name in files.entries(root / "dev/dri") if name.startswith("renderD"))
    nodes = [Path("dev/kfd"), *(Path("dev/dri") / name for name in renders)]
    closed = [f"/{node}" for node in nodes if _closed(root / node)]
    if not closed:
        return ()
    what = f"the GPU is present and this user may not open {', '.join(closed)}"
    hint = "sudo usermod -aG render,video $USER, then log in again"
    return (Problem("amd", what, hint, Trouble.CLOSED),)


def _closed(node: Path) -> bool:
    return files.exists(node) and not os.access(node, os.R_OK | os.W_OK)
