"""The memory of an AMD APU: which part of the RAM its GPU can use. Pure, except for ``read``."""

from dataclasses import dataclass, replace
from pathlib import Path

from domain.machine.hardware import BandwidthSource, Gpu, MemoryKind, Problem, ProblemKind
from domain.machine.provenance import Certainty, Provenance
from domain.units import GIB, gib
from probes import sysfs
from probes.gpus.amd.kfd import Node, Topology
from probes.gpus.pci import PciDevice
from probes.memory.ram import Meminfo

PAGE_BYTES = 4096
LARGE_CARVE_OUT_BYTES = 4 * GIB  # the smallest setting of some boards

SOURCES = {
    "memory_total_bytes": Provenance("kfd", note="the pool that the kernel chose; without KFD by its rule"),
    "memory_free_bytes": Provenance("sysfs", Certainty.DERIVED, "pool - used; of GTT at most MemAvailable"),
    "power_w": Provenance("hwmon", note="of the whole package, with the CPU cores"),
}


@dataclass(frozen=True, slots=True)
class MemoryPools:
    """The driver's counters. On an APU ``vram`` is the carve-out that the BIOS made of the RAM, ``gtt`` the
    RAM that the GPU may map, ``pages_limit`` how much of that the kernel allocates."""

    vram_bytes: int | None = None
    vram_used_bytes: int | None = None
    gtt_bytes: int | None = None
    gtt_used_bytes: int | None = None
    pages_limit_bytes: int | None = None


def read(root: Path, card: PciDevice) -> MemoryPools:
    parameters = (root / "sys/module" / module / "parameters/pages_limit" for module in ("amdttm", "ttm"))
    pages = next((pages for path in parameters if (pages := sysfs.read_count(path))), None)
    vram, vram_used, gtt, gtt_used = (
        sysfs.read_count(card.path / f"mem_info_{name}")
        for name in ("vram_total", "vram_used", "gtt_total", "gtt_used")
    )
    return MemoryPools(vram, vram_used, gtt, gtt_used, pages * PAGE_BYTES if pages else None)


def with_memory(
    gpu: Gpu, pools: MemoryPools, node: Node | None, topology: Topology, meminfo: Meminfo
) -> tuple[Gpu, tuple[Problem, ...]]:
    """``gpu`` with its memory: ROCm's pool is the carve-out or the GTT, never their sum."""
    total, in_carve_out = usable_pool(pools, node)
    if in_carve_out:
        free = remaining_bytes(total, pools.vram_used_bytes)
    else:
        free = _gtt_free_bytes(total, pools.gtt_used_bytes, meminfo.available_bytes)
    bandwidth = gpu.bandwidth_bytes_per_s or lpddr_bandwidth(topology, node)
    gpu = replace(
        gpu,
        memory_kind=MemoryKind.UNIFIED,
        memory_total_bytes=total,
        memory_free_bytes=free,
        bandwidth_bytes_per_s=bandwidth,
        bandwidth_source=BandwidthSource.PEAK if bandwidth else None,
    )
    return gpu, tuple(_problems(gpu, pools, meminfo, in_carve_out=in_carve_out))


def _gtt_free_bytes(total: int | None, used: int | None, available: int | None) -> int | None:
    """GTT is RAM that other programs use too, so never more than is available: a machine with 30 GiB of RAM
    can report a GTT of 93 GiB."""
    if total is None or available is None:
        return None
    remaining = remaining_bytes(total, used)
    return min(available, total if remaining is None else remaining)


def usable_pool(pools: MemoryPools, node: Node | None) -> tuple[int | None, bool]:
    """The bytes that ROCm can allocate, and whether they are the carve-out's.

    KFD shows what the kernel chose. Without it the rule of kernel 6.16.9 and later applies: an APU prefers
    GTT if ``carve-out < GTT`` (amdgpu ``apu_prefer_gtt``; github.com/ROCm/ROCm/issues/5444), up to TTM's
    limit.
    """
    vram, gtt = pools.vram_bytes, pools.gtt_bytes
    mapped = min((size for size in (gtt, pools.pages_limit_bytes) if size is not None), default=None)
    if node and (size := node.bank.size_bytes):
        return size, vram is not None and (mapped is None or abs(size - vram) < abs(size - mapped))
    if vram and (gtt is None or vram >= gtt):
        return vram, True
    return mapped or None, False


def _problems(gpu: Gpu, pools: MemoryPools, meminfo: Meminfo, *, in_carve_out: bool) -> list[Problem]:
    total, carve_out, ram = gpu.memory_total_bytes, pools.vram_bytes, meminfo.total_bytes
    if total is None:
        what = f"neither carve-out nor GTT of {gpu.id} is known, so nothing is planned on it"
        return [Problem("amd", what, "check that amdgpu's files in /sys are readable")]
    problems = []
    if not in_carve_out and carve_out is not None and carve_out > LARGE_CARVE_OUT_BYTES:
        what = f"the BIOS carve-out of {gib(carve_out)} is unused: {gpu.id} uses {gib(total)} of GTT"
        hint = "set the carve-out (UMA frame buffer) to its minimum, or GTT (amdgpu.gttsize) below it"
        problems.append(Problem("amd", what, hint, ProblemKind.SHARED_MEMORY))
    if not in_carve_out and ram is not None and total > ram:
        what = f"{gpu.id} may map {gib(total)} of {gib(ram)} RAM: filling it ends in an OOM kill"
        hint = "set ttm.pages_limit below the total RAM of the system"
        problems.append(Problem("amd", what, hint, ProblemKind.SHARED_MEMORY))
    return problems


def lpddr_bandwidth(topology: Topology, node: Node | None) -> float | None:
    """Transfer rate of the RAM (KFD's CPU bank, from DMI) x bus width (KFD's GPU bank).

    Strix Halo: 8000 MT/s x 256 bit / 8 = 256 GB/s.
    """
    transfers, width = topology.cpu_bank.clock_mhz, node.bank.width_bits if node else None
    return transfers * 1e6 * width / 8 if transfers and width else None


def remaining_bytes(total: int | None, used: int | None) -> int | None:
    return None if total is None or used is None else max(0, total - used)
