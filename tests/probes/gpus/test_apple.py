"""Apple's chips under Linux, by the device tree."""

import pytest

from domain.machine.hardware import BandwidthSource, MemoryKind
from tests.rigs.trees import plant

GIB = 1024**3
# github.com/AsahiLinux/linux arch/arm64/boot/dts/apple/t6001-j314c.dts
STUDIO = {
    "proc/device-tree/compatible": "apple,j314c\0apple,t6001\0apple,arm-platform\0",
    "proc/meminfo": "MemTotal: 67108864 kB\nMemAvailable: 60000000 kB\n",
    "proc/sys/kernel/osrelease": "6.17.7-400.asahi.fc43.aarch64+16k\n",
    "sys/module/asahi/initstate": "live\n",
}


def test_an_m1_max_works_in_its_ram(tmp_path, see_known):
    hardware = see_known(plant(tmp_path, STUDIO))
    (gpu,) = hardware.gpus
    assert (gpu.id, gpu.vendor, gpu.name) == ("soc:apple,t6001", "apple", "Apple M1 Max")
    assert (gpu.memory_kind, gpu.memory_total_bytes) == (MemoryKind.UNIFIED, 64 * GIB)
    assert gpu.memory_free_bytes == 60000000 * 1024
    assert (gpu.bandwidth_bytes_per_s, gpu.bandwidth_source) == (400e9, BandwidthSource.PEAK)
    assert (gpu.driver, gpu.is_integrated) == ("asahi 6.17.7-400.asahi.fc43.aarch64+16k", True)
    assert (gpu.temperature_c, gpu.power_w, gpu.link) == (None, None, None)
    assert hardware.memory.peak_bandwidth_bytes_per_s == 400e9, "the RAM is the GPU's memory"


def test_a_chip_that_nobody_knows_has_its_number_for_a_name(tmp_path, see_known):
    compatible = {"proc/device-tree/compatible": "apple,j999\0apple,t9999\0apple,arm-platform\0"}
    (gpu,) = see_known(plant(tmp_path, {**STUDIO, **compatible})).gpus
    assert (gpu.name, gpu.bandwidth_bytes_per_s) == ("Apple t9999", None)


def test_without_its_driver_the_gpu_is_present_and_unusable(tmp_path, see_known):
    root = plant(tmp_path, {name: text for name, text in STUDIO.items() if "asahi/" not in name})
    hardware = see_known(root)
    assert hardware.gpus == ()
    assert any("asahi driver" in problem.hint for problem in hardware.problems)


@pytest.mark.parametrize("compatible", ["", "raspberrypi,4-model-b\0brcm,bcm2711\0", "apple,\0", "\0\0"])
def test_other_boards_are_no_macs(tmp_path, see_known, compatible):
    hardware = see_known(plant(tmp_path, {**STUDIO, "proc/device-tree/compatible": compatible}))
    assert hardware.gpus == ()
    assert [problem for problem in hardware.problems if problem.source == "apple"] == []
