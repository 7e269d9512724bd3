"""NVIDIA GPUs through a compiled stand-in for the driver's library, and the ways they fail."""

import pytest

from domain.machine.hardware import BandwidthSource, MemoryKind, ProblemKind
from tests.rigs.nvml import profile
from tests.rigs.trees import plant

MIB = 1024**2
GEN4_LANE = 16e9 / 8 * 128 / 130


def test_two_3090s(machine, see_with_nvml):
    hardware = see_with_nvml(machine("dual-3090"), profile("dual-3090"))
    first, second = hardware.gpus
    assert (first.id, second.id) == ("pci:0000:01:00.0", "pci:0000:04:00.0")
    assert (first.vendor, first.name, first.arch) == ("nvidia", "NVIDIA GeForce RTX 3090", "sm_86")
    assert (first.driver, hardware.stacks.cuda) == ("nvidia 580.95.05", "13.0")
    assert (first.memory_kind, first.memory_total_bytes) == (MemoryKind.DEDICATED, 24576 * MIB)
    assert first.memory_free_bytes == (24576 - 316 - 18) * MIB
    assert second.memory_free_bytes == (24576 - 316 - 5600) * MIB
    assert (first.bandwidth_bytes_per_s, first.bandwidth_source) == (936.2e9, BandwidthSource.PEAK)
    assert first.fp16_flops_per_s == 71.2e12
    assert (first.temperature_c, second.temperature_c, second.power_w) == (41, 83, 349.1)
    assert hardware.problems == ()


def test_idle_links_tell_their_best_speed_and_the_lanes_in_use(machine, see_with_nvml):
    first, second = see_with_nvml(machine("dual-3090"), profile("dual-3090")).gpus
    assert first.pcie_bytes_per_s == pytest.approx(16 * GEN4_LANE)
    assert second.pcie_bytes_per_s == pytest.approx(4 * GEN4_LANE)


def test_the_gpu_sensor_has_the_limits_of_nvml(machine, see_with_nvml):
    hardware = see_with_nvml(machine("dual-3090"), profile("dual-3090"))
    hot = next(sensor for sensor in hardware.thermals if sensor.sensor == "nvidia/0000:04:00.0/gpu")
    assert hot.device == "pci:0000:04:00.0"
    assert (hot.temperature_c, hot.high_c, hot.critical_c) == (83, 95, 98)


def test_gb10_has_the_ram_of_the_machine(machine, see_with_nvml):
    hardware = see_with_nvml(machine("dgx-spark"), profile("dgx-spark"))
    (gpu,) = hardware.gpus
    assert (gpu.id, gpu.name, gpu.arch) == ("pci:000f:01:00.0", "NVIDIA GB10", "sm_121")
    assert gpu.memory_kind is MemoryKind.UNIFIED
    assert gpu.memory_total_bytes == hardware.memory.total_bytes == 125508468 * 1024
    assert gpu.memory_free_bytes == hardware.memory.available_bytes == 121737812 * 1024
    assert gpu.pcie_bytes_per_s is None, "gen 1 x1 is a placeholder"
    assert (gpu.bandwidth_bytes_per_s, hardware.memory.bandwidth_bytes_per_s) == (273e9, 273e9)
    assert (gpu.temperature_c, gpu.power_w) == (36, 3.41)
    assert hardware.problems == ()


def test_an_old_driver_has_the_first_memory_call_only(machine, see_with_nvml):
    answers = profile("dual-3090", {"*.mem_v2": "!13"})
    gpu = see_with_nvml(machine("dual-3090"), answers).gpus[0]
    assert (gpu.memory_total_bytes, gpu.memory_free_bytes) == (24576 * MIB, (24576 - 316 - 18) * MIB)


@pytest.mark.parametrize("total", ["8128MiB", "122566MiB"])
def test_a_unified_part_whose_nvml_shows_a_carve_out_or_the_ram_is_unified_too(machine, see_with_nvml, total):
    answers = profile("dgx-spark", {"0.mem_total": total, "0.mem_used": "100MiB"})
    (gpu,) = see_with_nvml(machine("dgx-spark"), answers).gpus
    assert gpu.memory_kind is MemoryKind.UNIFIED
    assert (gpu.memory_total_bytes, gpu.memory_free_bytes) == (125508468 * 1024, 121737812 * 1024)


def test_ats_beside_memory_of_its_own_is_dedicated(machine, see_with_nvml):
    answers = profile("dual-3090", {"*.addressing": "2"})
    assert see_with_nvml(machine("dual-3090"), answers).gpus[0].memory_kind is MemoryKind.DEDICATED


def test_a_card_that_tells_no_memory_is_unknown_not_unified_and_not_zero(machine, see_with_nvml):
    hardware = see_with_nvml(machine("dual-3090"), profile("dual-3090", {"*.mem_total": None}))
    gpu = hardware.gpus[0]
    assert (gpu.memory_kind, gpu.memory_total_bytes, gpu.memory_free_bytes) == (None, None, None)
    assert "reports no memory" in hardware.problems[0].what


def test_bandwidth_without_a_table_row_is_computed_from_clock_and_bus(machine, see_with_nvml):
    answers = profile("dual-3090", {"*.pci_device_id": "0x123410DE"})
    gpu = see_with_nvml(machine("dual-3090"), answers).gpus[0]
    assert gpu.bandwidth_bytes_per_s == pytest.approx(936.1e9, rel=1e-3)
    assert (gpu.bandwidth_source, gpu.fp16_flops_per_s) == (BandwidthSource.PEAK, None)


def test_a_newer_library_than_the_module_says_reboot(machine, see_with_nvml):
    hardware = see_with_nvml(machine("dual-3090"), profile("dual-3090", {"init": "!18"}))
    (problem,) = hardware.problems
    assert (hardware.gpus, problem.hint, problem.trouble) == ((), "reboot", ProblemKind.DRIVER)
    assert "580.95.05" in problem.what


def test_a_missing_library_is_told_where_there_is_a_card(machine, see_with_nvml):
    hardware = see_with_nvml(machine("dual-3090"), "")
    assert hardware.gpus == ()
    assert "libnvidia-ml.so.1 is not installed" in hardware.problems[0].what


def test_no_card_no_question(machine, see_with_nvml):
    """The library would show two cards, but nothing below the root speaks of NVIDIA."""
    hardware = see_with_nvml(machine("n100"), profile("dual-3090"))
    assert (hardware.gpus, hardware.problems) == ((), ())


def test_a_windows_host_without_nvidia_is_no_problem(machine, see_with_nvml):
    root = plant(machine("n100"), {"dev/dxg": ""})
    assert see_with_nvml(root, "").problems == ()
    assert len(see_with_nvml(root, profile("dual-3090")).gpus) == 2


@pytest.mark.parametrize("trace", ["dev/nvidiactl", "proc/driver/nvidia/version", "etc/nv_tegra_release"])
def test_a_container_that_was_given_a_gpu_and_no_library_is_told(machine, see_with_nvml, trace):
    hardware = see_with_nvml(plant(machine("n100"), {trace: ""}), "")
    assert "libnvidia-ml.so.1 is not installed" in hardware.problems[0].what


def test_a_jetson_shares_its_ram(machine, see_with_nvml):
    """Its NVML starts and answers nothing (github.com/HazyResearch/intelligence-per-watt/issues/40)."""
    root = plant(machine("n100"), {"etc/nv_tegra_release": "# R36 (release), REVISION: 4.3"})
    hardware = see_with_nvml(root, "count=1\n0.name=Orin (nvgpu)\n")
    (gpu,) = hardware.gpus
    assert (gpu.id, gpu.name, gpu.memory_kind) == ("nvml:0", "Orin (nvgpu)", MemoryKind.UNIFIED)
    assert (gpu.memory_total_bytes, gpu.arch, gpu.driver) == (16134636 * 1024, None, "nvidia")


@pytest.mark.parametrize("how", ["1.lost", "1.handle"])
def test_a_lost_card_leaves_the_other_one(machine, see_with_nvml, how):
    hardware = see_with_nvml(machine("dual-3090"), profile("dual-3090", {how: "!15"}))
    assert [gpu.id for gpu in hardware.gpus] == ["pci:0000:01:00.0"]
    (problem,) = hardware.problems
    assert problem.what == "the GPU at 0000:04:00.0 is lost"
    assert "power the machine off" in problem.hint
    assert problem.trouble is ProblemKind.LOST


def test_a_card_lost_between_two_questions_is_lost(machine, see_with_nvml):
    """It fell off the bus after its memory was told: half of an answer is none."""
    hardware = see_with_nvml(
        machine("dual-3090"), profile("dual-3090", {"0.temp": "!15", "0.power_mw": "!15"})
    )
    assert [gpu.id for gpu in hardware.gpus] == ["pci:0000:04:00.0"]
    assert [problem.what for problem in hardware.problems] == ["the GPU at 0000:01:00.0 is lost"]


def test_huge_pages_of_a_unified_machine_are_what_its_gpu_gets(machine, see_with_nvml):
    """docs.nvidia.com/dgx/dgx-spark/known-issues.html"""
    root = machine("dgx-spark")
    text = (root / "proc/meminfo").read_text()
    text = text.replace("HugePages_Total:0", "HugePages_Total:2048").replace(
        "HugePages_Free: 0", "HugePages_Free: 1024"
    )
    (gpu,) = see_with_nvml(plant(root, {"proc/meminfo": text}), profile("dgx-spark")).gpus
    assert gpu.memory_free_bytes == 1024 * 2 * MIB


def test_a_card_lost_where_sysfs_is_hidden_is_told_too(tmp_path, see_with_nvml):
    root = plant(tmp_path, {"dev/nvidiactl": ""})
    hardware = see_with_nvml(root, profile("dual-3090", {"1.lost": "!15"}))
    assert [gpu.id for gpu in hardware.gpus] == ["pci:0000:01:00.0"]
    assert "is lost" in " ".join(problem.what for problem in hardware.problems)


def test_a_card_that_nvml_does_not_show_is_hidden_by_a_sandbox(machine, see_with_nvml):
    hardware = see_with_nvml(machine("dual-3090"), profile("dual-3090", {"count": "0"}))
    assert hardware.gpus == ()
    assert [problem.what for problem in hardware.problems] == [
        "the GPU at 0000:01:00.0 has its driver but NVML does not report it",
        "the GPU at 0000:04:00.0 has its driver but NVML does not report it",
    ]
    assert "DeviceAllow=char-nvidia" in hardware.problems[0].hint
    assert hardware.problems[0].trouble is ProblemKind.HIDDEN


def test_one_function_that_fails_costs_one_value(machine, see_with_nvml):
    changes = {"*.temp": "!999", "*.power_mw": "!4", "*.cc": "!13", "*.name": "!3"}
    gpu = see_with_nvml(machine("dual-3090"), profile("dual-3090", changes)).gpus[0]
    assert (gpu.temperature_c, gpu.power_w) == (None, None)
    assert (gpu.name, gpu.arch) == ("NVIDIA GeForce RTX 3090", "sm_86"), "the table knows them"
    assert gpu.memory_total_bytes == 24576 * MIB


def test_a_suspended_card_is_named_and_not_asked(machine, see_with_nvml):
    root = plant(machine("dual-3090"), {"sys/bus/pci/devices/0000:01:00.0/power/runtime_status": "suspended"})
    awake, asleep = see_with_nvml(root, profile("dual-3090")).gpus
    assert (awake.id, awake.temperature_c) == ("pci:0000:04:00.0", 83)
    assert (asleep.id, asleep.name) == ("pci:0000:01:00.0", "NVIDIA GeForce RTX 3090")
    assert (asleep.memory_total_bytes, asleep.memory_free_bytes) == (24576 * MIB, None)
    assert asleep.temperature_c is None


def test_while_all_cards_sleep_the_library_is_not_started(machine, see_with_nvml, tmp_path, monkeypatch):
    monkeypatch.setenv("NVML_SHIM_LOG", str(tmp_path / "calls"))
    slots = ("0000:01:00.0", "0000:04:00.0")
    root = plant(
        machine("dual-3090"),
        {f"sys/bus/pci/devices/{slot}/power/runtime_status": "suspended" for slot in slots},
    )
    assert len(see_with_nvml(root, profile("dual-3090")).gpus) == 2
    assert not (tmp_path / "calls").exists()


def test_the_library_is_closed_again(machine, see_with_nvml, tmp_path, monkeypatch):
    monkeypatch.setenv("NVML_SHIM_LOG", str(tmp_path / "calls"))
    see_with_nvml(machine("dual-3090"), profile("dual-3090"))
    calls = (tmp_path / "calls").read_text().splitlines()
    assert (calls[0], calls[-1]) == ("nvmlInitWithFlags 0", "nvmlShutdown 0")
