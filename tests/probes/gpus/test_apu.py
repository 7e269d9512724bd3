"""Which part of the RAM an APU's GPU can use, from the kernel's counters alone."""

from pathlib import Path

import pytest

from domain.machine.hardware import BandwidthSource, Gpu, MemoryKind, Problem, ProblemKind
from domain.units import GIB
from probes.gpus.amd import apu
from probes.gpus.amd.apu import MemoryPools
from probes.gpus.amd.kfd import MemoryBank, Node, Topology
from probes.gpus.pci import PciDevice
from probes.memory.ram import Meminfo
from tests.rigs.trees import plant

APU = Gpu("pci:0000:c3:00.0", "amd", "AMD Radeon 8060S")
HALO_RAM = Topology(cpu_bank=MemoryBank(clock_mhz=8000))
RAM = Meminfo(total_bytes=120 * GIB, available_bytes=100 * GIB)


def node(size_bytes: int | None, *, width: int | None = 256) -> Node:
    return Node("0000:c3:00.0", bank=MemoryBank(size_bytes=size_bytes, width_bits=width))


def with_memory(
    pools: MemoryPools,
    found: Node | None = None,
    *,
    gpu: Gpu = APU,
    topology: Topology = HALO_RAM,
    meminfo: Meminfo = RAM,
) -> tuple[Gpu, tuple[Problem, ...]]:
    return apu.with_memory(gpu, pools, found, topology, meminfo)


def gib(pools: tuple[int | None, int | None, int | None]) -> MemoryPools:
    vram, gtt, limit = (None if size is None else size * GIB for size in pools)
    return MemoryPools(vram_bytes=vram, gtt_bytes=gtt, pages_limit_bytes=limit)


@pytest.mark.parametrize(
    ("pools", "kernel_gib", "pool_gib", "in_carve_out"),
    [
        pytest.param((96, 15, None), 96, 96, True, id="KFD chose the carve-out"),
        pytest.param((1, 60, 60), 60, 60, False, id="KFD chose GTT"),
        pytest.param((16, 16, None), 16, 16, False, id="KFD chose either: GTT, which is RAM"),
        pytest.param((96, 115, None), 97, 97, True, id="KFD keeps a little for itself"),
        pytest.param((60, 115, 24), 62, 62, True, id="nearer to the carve-out than to TTM's limit"),
        pytest.param((16, None, None), 15, 15, True, id="no GTT is known"),
        pytest.param((None, 60, None), 60, 60, False, id="no carve-out is known"),
        pytest.param((None, None, None), 60, 60, False, id="KFD alone"),
        pytest.param((4, 60, None), None, 60, False, id="no KFD: GTT, larger than the carve-out"),
        pytest.param((4, 60, 40), None, 40, False, id="no KFD: GTT up to TTM's limit"),
        pytest.param((4, 40, 60), None, 40, False, id="no KFD: GTT below TTM's limit"),
        pytest.param((96, 15, None), None, 96, True, id="no KFD: a carve-out larger than GTT"),
        pytest.param((16, 16, None), None, 16, True, id="no KFD: a carve-out as large as GTT"),
        pytest.param((16, None, None), None, 16, True, id="no KFD: the carve-out alone"),
        pytest.param((None, None, 24), None, 24, False, id="no KFD: TTM's limit alone"),
        pytest.param((None, None, None), None, None, False, id="nothing is known"),
        pytest.param((0, 0, 0), None, None, False, id="pools of nothing are no pools"),
    ],
)
def test_the_pool_is_the_carve_out_or_gtt_and_never_their_sum(
    pools: tuple[int | None, int | None, int | None],
    kernel_gib: int | None,
    pool_gib: int | None,
    in_carve_out: bool,
) -> None:
    found = node(kernel_gib * GIB) if kernel_gib else None
    total, where = apu.usable_pool(gib(pools), found)
    assert (total, where) == (pool_gib * GIB if pool_gib else None, in_carve_out)


def test_a_node_without_a_size_tells_nothing() -> None:
    assert apu.usable_pool(gib((4, 60, None)), node(None)) == (60 * GIB, False)


@pytest.mark.parametrize(
    ("pools", "available_gib", "free_gib"),
    [
        pytest.param(MemoryPools(GIB, 0, 60 * GIB, 20 * GIB), 100, 40, id="GTT less what is used of it"),
        pytest.param(MemoryPools(GIB, 0, 60 * GIB, 20 * GIB), 30, 30, id="no more than RAM has available"),
        pytest.param(MemoryPools(GIB, 0, 60 * GIB, None), 100, 60, id="use unknown: GTT"),
        pytest.param(MemoryPools(GIB, 0, 60 * GIB, None), 30, 30, id="use unknown: what RAM has available"),
        pytest.param(MemoryPools(GIB, 0, 60 * GIB, 70 * GIB), 100, 0, id="used up"),
        pytest.param(MemoryPools(GIB, 0, 60 * GIB, 20 * GIB), None, None, id="available RAM unknown"),
        pytest.param(MemoryPools(), 100, None, id="the pool is unknown"),
        pytest.param(MemoryPools(96 * GIB, 90 * GIB, 15 * GIB, 0), 1, 6, id="a carve-out is not of the RAM"),
        pytest.param(MemoryPools(96 * GIB, None, 15 * GIB, 0), 1, None, id="its use is unknown"),
        pytest.param(MemoryPools(96 * GIB, 97 * GIB, 15 * GIB, 0), 1, 0, id="it is used up"),
    ],
)
def test_what_is_free_of_the_pool(
    pools: MemoryPools, available_gib: int | None, free_gib: int | None
) -> None:
    available = None if available_gib is None else available_gib * GIB
    gpu, _ = with_memory(pools, meminfo=Meminfo(total_bytes=120 * GIB, available_bytes=available))
    assert gpu.memory_kind is MemoryKind.UNIFIED
    assert gpu.memory_free_bytes == (None if free_gib is None else free_gib * GIB)


def hints(pools: tuple[int | None, int | None, int | None], *, ram: int | None = 120) -> list[str]:
    total = None if ram is None else ram * GIB
    _, problems = with_memory(gib(pools), meminfo=Meminfo(total_bytes=total, available_bytes=GIB))
    assert {problem.trouble for problem in problems} <= {ProblemKind.SHARED_MEMORY}
    return [problem.hint for problem in problems]


def test_a_large_carve_out_that_the_gpu_does_not_use_is_told() -> None:
    _, (problem,) = with_memory(gib((32, 60, None)))
    assert problem.what == ("the BIOS carve-out of 32.0 GiB is unused: pci:0000:c3:00.0 uses 60.0 GiB of GTT")
    assert "UMA frame buffer" in problem.hint
    assert hints((4, 60, None)) == hints((None, 60, None)) == [], "4 GiB are the least that some boards have"
    assert hints((96, 15, None)) == [], "it is used"


def test_a_pool_larger_than_ram_is_told() -> None:
    _, (problem,) = with_memory(gib((1, 121, None)))
    assert problem.what == (
        "pci:0000:c3:00.0 may map 121.0 GiB of 120.0 GiB RAM: filling it ends in an OOM kill"
    )
    assert "ttm.pages_limit" in problem.hint
    assert hints((1, 120, None)) == hints((1, 121, None), ram=None) == []
    assert hints((96, 15, None), ram=31) == [], "the carve-out is no part of the RAM"
    assert len(hints((32, 121, None))) == 2


def test_a_gpu_without_a_known_pool_is_told() -> None:
    gpu, (problem,) = with_memory(MemoryPools())
    assert gpu.memory_total_bytes is None
    assert "nothing is planned on it" in problem.what
    assert "readable" in problem.hint


@pytest.mark.parametrize(
    ("table_rate", "topology", "found", "rate"),
    [
        pytest.param(None, HALO_RAM, node(None), 256e9, id="8000 MT/s x 256 bit"),
        pytest.param(None, HALO_RAM, node(None, width=128), 128e9, id="8000 MT/s x 128 bit"),
        pytest.param(200e9, HALO_RAM, node(None), 200e9, id="the table knows it"),
        pytest.param(None, HALO_RAM, node(None, width=None), None, id="no width"),
        pytest.param(None, Topology(), node(None), None, id="no clock"),
        pytest.param(None, HALO_RAM, None, None, id="no KFD"),
    ],
)
def test_the_bandwidth_is_that_of_the_ram(
    table_rate: float | None, topology: Topology, found: Node | None, rate: float | None
) -> None:
    gpu = Gpu("pci:x", "amd", "X", bandwidth_bytes_per_s=table_rate)
    seen, _ = with_memory(gib((1, 60, None)), found, gpu=gpu, topology=topology)
    assert seen.bandwidth_bytes_per_s == rate
    assert seen.bandwidth_source is (None if rate is None else BandwidthSource.PEAK)


@pytest.mark.parametrize(
    ("limits", "pages_limit_bytes"),
    [
        ({"ttm": "24576000"}, 24576000 * 4096),
        ({"amdttm": "1000", "ttm": "24576000"}, 1000 * 4096),
        ({"amdttm": "0", "ttm": "7"}, 7 * 4096),
        ({"ttm": "0"}, None),
        ({}, None),
    ],
)
def test_the_counters_of_the_driver(
    tmp_path: Path, limits: dict[str, str], pages_limit_bytes: int | None
) -> None:
    card = PciDevice("0000:c3:00.0", "1002", "1586", 0x030000, tmp_path / "card")
    names = ("vram_total", "vram_used", "gtt_total", "gtt_used")
    files = {f"card/mem_info_{name}": str(number) for number, name in enumerate(names, 1)}
    for module, pages in limits.items():
        files[f"sys/module/{module}/parameters/pages_limit"] = pages
    assert apu.read(plant(tmp_path, files), card) == MemoryPools(1, 2, 3, 4, pages_limit_bytes)
