"""The boxes that ship: they load, name their sources, have possible figures, and can be planned for."""

import re
from pathlib import Path

import pytest

from config import data
from domain.errors import DoesNotFitError
from domain.launches.plan import LaunchOptions
from domain.machine.hardware import Hardware, MemoryKind
from domain.units import GIB, MIB
from planner.choose import choose
from planner.choose.context import READING_TOKENS_PER_S
from tests.catalog.resolving import resolve
from tests.conftest import ROOT

SHIPPED = (
    "arc-b580",
    "dgx-spark",
    "dual-rtx-3090",
    "mac-m2-pro-32gb",
    "mac-studio-m3-ultra",
    "n100-8gb",
    "quad-l40s",
    "quad-rtx-5090",
    "r9700",
    "rtx-3090",
    "rtx-4090",
    "rtx-5070-ti",
    "rtx-5080-128gb",
    "rtx-5090",
    "strix-halo-128gb",
)


def test_all_boxes_ship() -> None:
    assert data.profile_names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_box_names_its_sources_and_has_possible_figures(name: str) -> None:
    box = data.profile(name)
    memory = box.memory
    assert box.name == name
    assert box.source is not None
    assert "." in box.source
    assert memory.total_bytes is not None
    assert memory.available_bytes is not None
    assert 0.85 * memory.total_bytes < memory.available_bytes < memory.total_bytes
    assert 20e9 < (memory.bandwidth_bytes_per_s or 0) < 900e9
    for gpu in box.gpus:
        room = memory.total_bytes if gpu.memory_kind is MemoryKind.UNIFIED else 96 * GIB
        assert 8 * GIB <= (gpu.memory_total_bytes or 0) <= room * 1.001
        assert (gpu.memory_free_bytes or 0) < (gpu.memory_total_bytes or 0)
        assert 100e9 < (gpu.bandwidth_bytes_per_s or 0) < 2e12
        assert (gpu.pcie_bytes_per_s is None) == (gpu.memory_kind is MemoryKind.UNIFIED)
    assert box.power_limit_w is None or 5 < box.power_limit_w < 3000


def test_a_card_of_a_box_is_the_one_of_the_device_table() -> None:
    known = {gpu.name: gpu for gpu in data.known_gpus()}
    for name in SHIPPED:
        for gpu in data.profile(name).gpus:
            if gpu.name not in known or gpu.memory_kind is not MemoryKind.DEDICATED:
                continue
            row = known[gpu.name]
            assert gpu.memory_total_bytes in (row.vram_reported_bytes, row.vram_bytes, 12216 * MIB)
            assert gpu.bandwidth_bytes_per_s == row.bandwidth_bytes_per_s
            assert gpu.fp16_flops_per_s == row.fp16_flops_per_s
            assert gpu.arch == row.arch


@pytest.mark.parametrize("page", ["README.md", "docs/cli.md", "docs/architecture.md"])
def test_pages_name_boxes_that_ship(page: str) -> None:
    named = re.findall(r"node-ctl [^#\n]*--on ([a-z0-9][a-z0-9-]*)(?![\w.-])", (ROOT / page).read_text())
    for name in named:
        assert data.profile(name).name in SHIPPED


def test_data_sheets_win_over_articles() -> None:
    boxes = {name: data.profile(name) for name in SHIPPED}
    assert boxes["rtx-5080-128gb"].gpus[0].memory_total_bytes == 16 * GIB
    assert boxes["rtx-5080-128gb"].memory.total_bytes == 128 * GIB
    assert boxes["strix-halo-128gb"].gpus[0].bandwidth_bytes_per_s == 256e9
    assert len(boxes["dgx-spark"].gpus) == 1
    assert [len(boxes[name].gpus) for name in ("dual-rtx-3090", "quad-rtx-5090", "quad-l40s")] == [2, 4, 4]


def planned(box: Hardware, models_dir: Path) -> float:
    """Predicted tokens per second of gpt-oss-20b."""
    found = resolve("gpt-oss-20b", catalogue=data.catalogue(), models_dir=models_dir, offline=True)
    speed = choose.plan("gpt-oss-20b", found, box, LaunchOptions()).speed.decode_tokens_per_s
    assert speed is not None
    return speed.expected


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "n100-8gb"])
def test_a_box_serves_gpt_oss_20b_faster_than_it_is_read(name: str, tmp_path: Path) -> None:
    assert planned(data.profile(name), tmp_path) > READING_TOKENS_PER_S


def test_a_box_with_8_gib_is_told_that_gpt_oss_20b_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DoesNotFitError, match="it needs 11"):
        planned(data.profile("n100-8gb"), tmp_path)
