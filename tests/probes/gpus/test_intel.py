"""Intel cards and the graphics in Intel's processors."""

import pytest

from domain.machine.accelerator import GpuProcess
from domain.machine.hardware import MemoryKind
from probes import snapshot
from probes.context import ProbeState
from probes.gpus import intel
from probes.gpus.pci import PciDevice
from probes.sensors import power
from tests.rigs.trees import plant

GIB, MIB = 1024**3, 1024**2
CARD = "sys/devices/pci0000:00/0000:00:01.1/0000:09:00.0/0000:0a:01.0/0000:0b:00.0"
GT = f"{CARD}/tile0/gt0/freq0/throttle"


def test_a_b580_tells_fans_cap_and_heat(machine, see):
    """LACT's snapshot of a newer kernel has the cap, the fans and the reasons."""
    root = plant(
        machine("arc-b580"),
        {
            f"{CARD}/hwmon/hwmon4/power1_cap": "190000000",
            f"{CARD}/hwmon/hwmon4/fan1_input": "1116",
            f"{CARD}/hwmon/hwmon4/fan2_input": "1235",
            f"{CARD}/hwmon/hwmon4/fan3_input": "0",
            f"{GT}/reason_pl1": "1",
            f"{GT}/reason_thermal": "0",
        },
    )
    (gpu,) = see(root).gpus
    assert (gpu.power_limit_w, gpu.fan_rpm, gpu.temperature_c) == (190, 1235, 46)
    assert gpu.throttled_by == (), "a power limit works as configured"
    plant(root, {f"{GT}/reason_thermal": "1"})
    assert see(root).gpus[0].throttled_by == ("thermal",)


@pytest.mark.parametrize(
    ("card_uj", "watts"),
    [
        pytest.param(900_000_000, 90, id="by the card's counter"),
        pytest.param(0, 60, id="by the chip's, where the card's stands still"),
    ],
)
def test_a_card_draws_what_its_counter_of_energy_says(machine, monkeypatch, card_uj, watts):
    """xe: energy1 is of the card and stood still before Linux 6.17, energy2 is of the chip."""
    now = [100.0]
    monkeypatch.setattr(power.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(power.time, "sleep", lambda _: None)
    root, state = machine("arc-b580"), ProbeState()
    for after_s in (0, 10):
        now[0] = 100.0 + after_s
        for number, energy_uj in ((1, card_uj), (2, 600_000_000)):
            counted = str(energy_uj if after_s else 0)
            plant(root, {f"sys/class/hwmon/hwmon4/energy{number}_input": counted})
        hardware = snapshot.probe(root=root, models_dir=root, known_gpus=(), state=state)
    assert hardware.gpus[0].power_w == watts
    assert hardware.sources["gpus[pci:0000:0b:00.0].power_w"] == power.ENERGY_SOURCE


def test_without_reasons_nobody_knows(tmp_path, machine, see):
    card = intel._throttle_reasons(PciDevice("0000:0b:00.0", "8086", "e20b", 0x30000, tmp_path))
    assert card is None


WINDOW = "0x0 0x0 0x0\n0x0 0x0 0x0\n0x000000f800000000 {last:#018x} 0x14220c\n"


@pytest.mark.parametrize(
    ("files", "total"),
    [
        pytest.param({}, None, id="a card that nobody knows"),
        pytest.param({"resource": WINDOW.format(last=0xF800000000 + 16 * GIB - 1)}, 16 * GIB, id="window"),
        pytest.param({"resource": WINDOW.format(last=0xF800000000 + 256 * MIB - 1)}, None, id="no ReBAR"),
        pytest.param({"resource": "0x1 0x2\n\n zz yy xx\n"}, None, id="nonsense"),
        pytest.param({"tile0/physical_vram_size_bytes": f"{20 * GIB:#x}"}, 20 * GIB, id="xe's file"),
        pytest.param({"drm/card0/lmem_total_bytes": f"{6 * GIB}"}, 6 * GIB, id="i915's file"),
    ],
)
def test_the_memory_of_a_card_without_a_row(machine, see, files, total):
    """BAR2 is as large as the memory where the firmware resizes it (ilya-zlobintsev/LACT issue 890)."""
    root = plant(machine("arc-b580"), {f"{CARD}/device": "0xe2ff"})
    plant(root, {f"{CARD}/{name}": content for name, content in files.items()})
    (gpu,) = see(root).gpus
    assert (gpu.memory_kind, gpu.memory_total_bytes) == (MemoryKind.DEDICATED, total)


def test_the_table_stands_above_a_window_that_may_be_larger(machine, see):
    root = plant(machine("arc-b580"), {f"{CARD}/resource": WINDOW.format(last=0xF800000000 + 16 * GIB - 1)})
    assert see(root).gpus[0].memory_total_bytes == 12 * GIB


def test_a_tenant_of_xe(machine, see):
    text = "drm-driver: xe\ndrm-pdev: 0000:0b:00.0\ndrm-client-id: 3\ndrm-resident-vram0: 512 MiB\n"
    root = plant(
        machine("arc-b580"),
        {"proc/9/fdinfo/4": text, "proc/9/comm": "blender"},
        {"proc/9/fd/4": "/dev/dri/card1"},
    )
    assert see(root).gpus[0].tenants == (GpuProcess(9, "blender", 512 * MIB),)


def test_graphics_of_a_processor_are_set_aside(machine, see):
    hardware = see(machine("n100"))
    assert hardware.gpus == ()
    assert [(gpu.pci_id, gpu.is_integrated) for gpu in hardware.set_aside] == [("8086:46d1", True)]
    assert "slower than the CPU" in hardware.set_aside[0].set_aside


@pytest.mark.parametrize(
    ("files", "is_integrated"),
    [
        pytest.param({}, True, id="graphics of a processor, passed to a virtual machine"),
        pytest.param({"physfn/vendor": "0x8086"}, True, id="a virtual function"),
        pytest.param({"drm/card0/lmem_total_bytes": "8589934592"}, False, id="a card"),
    ],
)
def test_integrated_is_told_by_the_kernel_and_not_by_the_slot(tmp_path, see, files, is_integrated):
    card = "sys/bus/pci/devices/0000:06:10.0"
    files = {"vendor": "0x8086", "device": "0xa780", "class": "0x030000", "power_state": "D0", **files}
    plant(tmp_path, {f"{card}/{name}": text for name, text in files.items()} | {"dev/dri/renderD128": ""})
    plant(tmp_path, {}, {f"{card}/driver": "../../../bus/pci/drivers/i915"})
    hardware = see(tmp_path)
    (gpu,) = hardware.set_aside if is_integrated else hardware.gpus
    assert gpu.is_integrated is is_integrated
