"""How long weights take to their devices, from the disk and from the page cache."""

from dataclasses import replace

import pytest

from catalog.synthetic.header import shape_of
from config.data import catalogue
from domain.launches.plan import LlamaFlags, Speed
from domain.machine.hardware import Hardware, Memory, Storage
from domain.models.catalogue_types import KnownQuant
from domain.models.model import ModelShape
from domain.units import GIB
from planner.llama_cpp.estimate import estimate
from tests.planner import build

SHAPE = build.shape("qwen3-32b", "Q4_K_M")
ALL = LlamaFlags(gpu_layers=999, context_tokens=4096, parallel=1, load_mode="mmap")


def speed(flags: LlamaFlags, machine: Hardware, shape: ModelShape = SHAPE) -> Speed:
    return estimate(shape, flags, machine).speed


def on_disk(machine: Hardware, gb_per_s: float | None, *, available_gib: int = 96) -> Hardware:
    memory = Memory(total_bytes=available_gib * GIB, available_bytes=available_gib * GIB)
    disk_rate = None if gb_per_s is None else gb_per_s * 1e9
    return replace(machine, memory=memory, storage=Storage("/models", read_bytes_per_s=disk_rate))


@pytest.mark.parametrize(
    ("gb_per_s", "measured_s"),
    [pytest.param(1555, 5.438, id="A100"), pytest.param(3350, 4.422, id="H100")],
)
def test_published_loads_from_the_page_cache(gb_per_s: float, measured_s: float) -> None:
    """Mixtral 8x7B Q5_K_M, rows 602 and 603 of tests/captures/bench.json."""
    mixtral = shape_of(catalogue()["mixtral-8x7b"], KnownQuant("", "Q5_K_M", 32_229_279_744))
    predicted = speed(ALL, build.hardware(build.gpu(80, gb_per_s=gb_per_s)), mixtral)
    assert predicted.load_warm_s == pytest.approx(measured_s, rel=0.25)


def test_an_unknown_disk_gives_no_cold_load() -> None:
    assert speed(ALL, on_disk(build.CARD_24, None)).load_s is None


def test_a_disk_bounds_the_first_load_and_no_later_one() -> None:
    slow, quick = (speed(ALL, on_disk(build.CARD_24, disk_rate)) for disk_rate in (0.5, 5.0))
    assert slow.load_s == pytest.approx(SHAPE.file_bytes / 0.5e9, rel=0.15)
    assert slow.load_s is not None
    assert quick.load_s is not None
    assert quick.load_s < slow.load_s
    assert slow.load_warm_s == quick.load_warm_s


def test_mapped_weights_on_the_host_need_no_copy() -> None:
    mapped, copied = (
        speed(replace(ALL, gpu_layers=0, load_mode=mode), on_disk(build.CARD_24, 5.0))
        for mode in ("mmap", "none")
    )
    assert mapped.load_warm_s is not None
    assert copied.load_warm_s is not None
    assert mapped.load_warm_s < 1 < copied.load_warm_s


def test_without_mapping_reads_and_copies_overlap() -> None:
    mapped, copied = (
        speed(replace(ALL, load_mode=mode), on_disk(build.CARD_24, 5.0)).load_s for mode in ("mmap", "none")
    )
    assert mapped is not None
    assert copied is not None
    assert copied < 0.8 * mapped


def test_a_file_that_ram_cannot_hold_is_read_twice_for_the_gpu() -> None:
    roomy, tight = (speed(ALL, on_disk(build.CARD_24, 1.0, available_gib=gib)).load_s for gib in (96, 16))
    assert roomy is not None
    assert tight is not None
    assert tight > 1.7 * roomy


def test_a_narrow_link_slows_the_copy() -> None:
    wide, narrow = (
        speed(ALL, build.hardware(replace(build.gpu(24), pcie_bytes_per_s=disk_rate))).load_warm_s
        for disk_rate in (64e9, 4e9)
    )
    assert wide is not None
    assert narrow is not None
    assert narrow > 2 * wide
