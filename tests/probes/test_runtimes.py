"""Vulkan and Level Zero, asked of real children: lavapipe with other figures, a stand-in of the loader."""

import signal
from pathlib import Path

import pytest

from domain.machine.hardware import Gpu, Hardware
from probes.runtimes import child, level_zero, probe, vulkan
from tests.rigs import level_zero as ze_rig
from tests.rigs import vulkan as rig
from tests.rigs.trees import plant

MIB = 1024**2
CARD = "NVIDIA GeForce RTX 3090,discrete,24576,23100,0000:01:00.0"
APU = "AMD Radeon 8060S (RADV GFX1151),integrated,127488,100000,0000:c3:00.0"


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rig.build(tmp_path_factory.mktemp("layer"))


@pytest.fixture
def show(layer, tmp_path, monkeypatch):
    """Makes Vulkan show these devices to children."""

    def show_them(*devices: str) -> None:
        for name, value in rig.environment(layer, tmp_path, devices).items():
            monkeypatch.setenv(name, value)

    return show_them


def test_the_real_loader_shows_a_processor_which_is_no_gpu(monkeypatch):
    monkeypatch.setenv("VK_DRIVER_FILES", str(rig.lavapipe()))
    result = vulkan.probe()
    assert result.version is not None
    assert result.version.startswith("1.")
    assert (result.devices, result.problems) == ((), ())


def test_cards_behind_a_processor_that_comes_first(show):
    show("llvmpipe (LLVM 15.0.6),cpu,2048", CARD, APU)
    first, second = vulkan.probe().devices
    assert (first.name, first.kind, first.gpu) == ("NVIDIA GeForce RTX 3090", "discrete", "pci:0000:01:00.0")
    assert (first.memory_bytes, first.heaps_bytes[0]) == (24576 * MIB, 24576 * MIB)
    assert (second.kind, second.gpu, second.memory_bytes) == ("integrated", "pci:0000:c3:00.0", 127488 * MIB)
    assert "Mesa" in (first.driver or "")


def test_a_card_that_two_drivers_show_is_one(show):
    """github.com/KhronosGroup/Vulkan-Loader/issues/493; two cards of one name are two."""
    show(CARD, CARD, CARD.replace("01:00.0", "04:00.0"))
    assert [device.gpu for device in vulkan.probe().devices] == ["pci:0000:01:00.0", "pci:0000:04:00.0"]


def said(driver_id: int, *, slot: str | None = "0000:03:00.0", uuid: str = "a", kind: int = 2):
    """One device as the child tells of it."""
    heaps = [[24, True], [64, False], [1, True]]
    named = {"name": "RX 7900 XTX", "api": "1.3.289", "driver": f"driver {driver_id}"}
    return {**named, "kind": kind, "driver_id": driver_id, "slot": slot, "uuid": uuid, "heaps": heaps}


def test_of_two_drivers_for_a_card_mesa_s_is_shown():
    result = vulkan.parse({"version": "1.3.289", "devices": [said(2), said(3), said(99)]})
    (device,) = result.devices
    assert (device.driver, device.memory_bytes, device.heaps_bytes) == ("driver 3", 24, (24, 64, 1))


def test_without_a_place_on_the_bus_devices_differ_by_their_own_number():
    devices = [said(4, slot=None, uuid="a"), said(4, slot=None, uuid="b"), said(13, kind=4)]
    result = vulkan.parse({"version": "1.3", "devices": devices})
    assert [device.gpu for device in result.devices] == [None, None]


def test_a_driver_file_that_is_broken_is_a_problem_and_no_crash(tmp_path, monkeypatch):
    (tmp_path / "broken.json").write_text("{}")
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "broken.json"))
    result = vulkan.probe()
    assert (result.version, result.devices) == (None, ())
    assert "vkCreateInstance returned" in result.problems[0].what


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ze_rig.build(tmp_path_factory.mktemp("ze"))


@pytest.fixture
def ze(loader, monkeypatch):
    """Sets what the stand-in for Level Zero reports to children."""

    def configure(text: str) -> None:
        monkeypatch.setenv("LD_LIBRARY_PATH", str(loader))
        monkeypatch.setenv("ZE_SHIM", text)

    return configure


def test_level_zero_shows_cards_and_integrated_ones_apart(ze):
    ze("Intel(R) Arc(TM) B580 Graphics,0,12216,0000:0b:00.0;Intel(R) UHD Graphics,1,46789")
    result = level_zero.probe()
    card, integrated = result.devices
    assert (result.version, card.driver, card.name) == ("1.6", "17002026", "Intel(R) Arc(TM) B580 Graphics")
    assert (card.kind, card.gpu, card.memory_bytes) == ("discrete", "pci:0000:0b:00.0", 12216 * MIB)
    assert (integrated.kind, integrated.gpu, integrated.memory_bytes) == ("integrated", None, 46789 * MIB)


@pytest.mark.parametrize(
    ("behaviour", "what"),
    [
        ("crash", f"level_zero crashed (signal {signal.SIGABRT.value})"),
        ("!0x78000001", "level_zero does not start: zeInit returned 0x78000001"),
    ],
)
def test_a_driver_that_fails_is_a_problem(ze, behaviour, what):
    ze(behaviour)
    result = level_zero.probe()
    assert (result.version, [problem.what for problem in result.problems]) == (None, [what])


def test_a_driver_that_hangs_is_ended(ze):
    ze("hang")
    output, problems = child.run("level_zero", level_zero.CHILD, timeout_s=0.5)
    assert output is None
    assert problems[0].what == "level_zero did not answer in 0.5 s"


def test_without_the_library_the_reason_is_told(monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    assert "libze_loader.so.1" in level_zero.probe().problems[0].what


def test_where_no_driver_announces_itself_nobody_is_asked(tmp_path, monkeypatch):
    for name in vulkan.DRIVER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(child, "run", lambda *_: pytest.fail("a child was started"))
    assert probe.probe(tmp_path) == probe.Runtimes()


def test_what_the_answers_hang_on(tmp_path, monkeypatch):
    """A new driver, another choice of drivers, another GPU: asked again. A GPU that sleeps: not at all."""
    for name in vulkan.DRIVER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    gpu = Gpu("pci:0000:01:00.0", "amd", "X")
    keys = [probe.cache_key(tmp_path, Hardware(gpus=(gpu,)))]
    plant(tmp_path, {"usr/share/vulkan/icd.d/radeon_icd.json": "{}"})
    keys.append(probe.cache_key(tmp_path, Hardware(gpus=(gpu,))))
    keys.append(probe.cache_key(tmp_path, Hardware()))
    monkeypatch.setenv("VK_ICD_FILENAMES", "/opt/amdvlk.json")
    keys.append(probe.cache_key(tmp_path, Hardware()))
    assert len(set(keys)) == 4
    assert (
        vulkan.driver_selection({"VK_ICD_FILENAMES": "/opt/amdvlk.json"})
        == "VK_ICD_FILENAMES=/opt/amdvlk.json"
    )
    asleep = Gpu("pci:0000:01:00.0", "amd", "X", asleep=True)
    assert probe.cache_key(tmp_path, Hardware(gpus=(asleep,))) is None


def test_the_snapshot_takes_over_what_was_asked(show):
    show(CARD)
    result = probe.Runtimes(vulkan.probe(), driver_files="VK_DRIVER_FILES=x")
    hardware = probe.with_runtimes(Hardware(), result)
    assert hardware.stacks.vulkan == result.vulkan.version
    assert [device.gpu for device in hardware.stacks.vulkan_devices] == ["pci:0000:01:00.0"]
    assert hardware.sources["stacks.vulkan"].source == "libvulkan"
    assert "stacks.level_zero" not in hardware.sources
