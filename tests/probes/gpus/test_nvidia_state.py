"""What NVIDIA cards say beside their memory: limits, fans, throttling, links, peers, tenants, partitions."""

import pytest

from domain.machine.accelerator import GpuProcess, PcieLink, Peer
from probes.gpus.nvidia import gpu as nvidia_gpu
from tests.rigs.nvml import profile
from tests.rigs.trees import plant

MIB = 1024**2


def test_a_power_limit_in_force_stands_beside_the_maker_s(machine, see_with_nvml):
    """github.com/noonghunna/club-3090/issues/178: owners cap a 3090 at 280 of 350 W."""
    answers = profile("dual-3090", {"0.power_limit_mw": "280000", "*.fan_rpm": "1440", "1.fan": "71"})
    first, second = see_with_nvml(machine("dual-3090"), answers).gpus
    assert (first.power_limit_w, first.power_default_w, second.power_limit_w) == (280, 350, 350)
    assert (first.fan_percent, second.fan_percent, second.fan_rpm) == (0, 71, 1440)
    assert (first.persistence, first.uuid) == (False, "GPU-11111111-2222-3333-4444-555555555550")
    assert first.memory_reserved_bytes == 316 * MIB


@pytest.mark.parametrize(
    ("reasons", "named"),
    [
        pytest.param(0x4, (), id="a power cap works as configured"),
        pytest.param(0x1 | 0x8 | 0x40, (), id="idle"),
        pytest.param(0x2 | 0x10 | 0x100, (), id="an owner's clocks"),
        pytest.param(0x4 | 0x20, ("sw_thermal",), id="warm"),
        pytest.param(0x8 | 0x40 | 0x80, ("hw_thermal", "hw_power_brake"), id="hot and starved"),
        pytest.param(0x8, ("hw_slowdown",), id="slow without a reason"),
        pytest.param(-1 & ~0x1, ("sw_thermal", "hw_thermal", "hw_power_brake"), id="all bits"),
    ],
)
def test_only_what_should_not_slow_a_card_is_told(reasons, named):
    assert nvidia_gpu.throttle_reasons(reasons) == named


def test_throttling_is_unknown_where_nobody_says(machine, see_with_nvml):
    first, second = see_with_nvml(
        machine("dual-3090"), profile("dual-3090", {"0.throttle_reasons": "!3"})
    ).gpus
    assert (first.throttled_by, second.throttled_by) == (None, ("sw_thermal",))


def test_newer_cards_tell_a_margin_and_no_limit(machine, see_with_nvml):
    """Ada and later: T.Limit margins instead of thresholds (telegraf pro-6000-maxq-blackwell-v13.xml)."""
    changes = {"*.temp_slowdown": None, "*.temp_shutdown": None, "*.temp_margin": "68"}
    hardware = see_with_nvml(machine("dual-3090"), profile("dual-3090", changes))
    assert hardware.gpus[0].temperature_margin_c == 68
    sensor = next(sensor for sensor in hardware.thermals if sensor.sensor == "nvidia/0000:01:00.0/gpu")
    assert (sensor.temperature_c, sensor.high_c, sensor.critical_c) == (41, None, None)


def test_links_come_from_the_bus(machine, see_with_nvml):
    first, second = see_with_nvml(machine("dual-3090"), profile("dual-3090")).gpus
    assert first.link == PcieLink(1, 16, 4, 16, 4, 16)
    assert second.link == PcieLink(1, 4, 4, 16, 4, 16)


def test_without_a_bus_the_library_tells_the_link(tmp_path, see_with_nvml):
    """WSL has no such card below /sys."""
    hardware = see_with_nvml(plant(tmp_path, {"dev/dxg": ""}), profile("dual-3090"))
    assert hardware.gpus[1].link == PcieLink(1, 4, 4, 4, 4, 4)
    assert hardware.gpus[1].pcie_bytes_per_s == pytest.approx(4 * 16e9 / 8 * 128 / 130)


BRIDGE = {f"{card}.nvlink_{link}": "1" for card in (0, 1) for link in range(4)}


def test_a_bridge_is_counted_by_its_links(machine, see_with_nvml):
    ends = {f"0.nvlink_{link}_pci": "00000000:04:00.0" for link in range(4)}
    ends |= {f"1.nvlink_{link}_pci": "00000000:01:00.0" for link in range(4)}
    answers = profile("dual-3090", {**BRIDGE, **ends, "*.p2p": "0"})
    first, second = see_with_nvml(machine("dual-3090"), answers).gpus
    assert first.peers == (Peer("pci:0000:04:00.0", p2p=True, nvlinks=4),)
    assert second.peers == (Peer("pci:0000:01:00.0", p2p=True, nvlinks=4),)


def test_links_to_a_switch_reach_every_card(machine, see_with_nvml):
    ends = {f"*.nvlink_{link}_pci": "00000000:c3:00.0" for link in range(4)}
    first, _ = see_with_nvml(
        machine("dual-3090"), profile("dual-3090", {**BRIDGE, **ends, "*.p2p": "0"})
    ).gpus
    assert first.peers == (Peer("pci:0000:04:00.0", p2p=True, nvlinks=4),)


def test_cards_without_links_go_through_the_cpu(machine, see_with_nvml):
    root = machine("dual-3090")
    first, _ = see_with_nvml(root, profile("dual-3090")).gpus
    assert first.peers == (Peer("pci:0000:04:00.0", p2p=False, nvlinks=None),)
    unknown, _ = see_with_nvml(root, profile("dual-3090", {"*.p2p": "!13"})).gpus
    assert unknown.peers == (Peer("pci:0000:04:00.0", p2p=None, nvlinks=None),)


COMFY = {
    "proc/4242/cmdline": "/home/me/venv/bin/python3\0main.py\0--api-key\0secret\0",
    "proc/4242/comm": "python3\n",
    "proc/4242/stat": "4242 (python3) S 1 4242 4242 0 -1 4194560",
}


def test_others_on_a_card_are_named_with_their_bytes(machine, see_with_nvml):
    """A process that computes and draws is in both lists with the same bytes: it counts once."""
    root = plant(machine("dual-3090"), COMFY, {"proc/4242/cwd": "/home/me/ComfyUI"})
    plant(root, {"proc/77/comm": "gnome-shell\n", "proc/77/cmdline": ""})
    answers = profile(
        "dual-3090", {"1.graphics_procs": "77:200MiB,4242:5580MiB,9:na", "1.compute_procs": "4242:5580MiB"}
    )
    first, second = see_with_nvml(root, answers).gpus
    assert first.tenants == ()
    assert second.tenants == (
        GpuProcess(4242, "python3 ComfyUI/main.py", 5580 * MIB),
        GpuProcess(77, "gnome-shell", 200 * MIB),
        GpuProcess(9, None, None),
    )
    assert second.memory_free_bytes == (24576 - 316 - 5600) * MIB, "the driver's figure has them in it"


def test_wsl_knows_no_processes_and_has_its_library_elsewhere(tmp_path, see_with_nvml, nvml_library):
    """Old drivers answer Unknown for Not Supported (github.com/dask/distributed/pull/6119)."""
    root = plant(tmp_path / "wsl", {"dev/dxg": ""})
    library = root / "usr/lib/wsl/lib/libnvidia-ml.so.1"
    library.parent.mkdir(parents=True)
    library.write_bytes((nvml_library / "libnvidia-ml.so.1").read_bytes())
    answers = profile(
        "dual-3090", {f"{n}.{kind}_procs": "!999" for n in "01" for kind in ("compute", "graphics")}
    )
    hardware = see_with_nvml(root, answers, on_the_path=False)
    assert [gpu.memory_total_bytes for gpu in hardware.gpus] == [24576 * MIB, 24576 * MIB]
    assert [gpu.tenants for gpu in hardware.gpus] == [None, None]
    assert hardware.stacks.cuda == "13.0"


MIG = {
    "count": "1",
    "0.name": "NVIDIA H100 80GB HBM3",
    "0.mem_total": "81559MiB",
    "0.mig": "1",
    "0.mig_max": "7",
    "0.mig_0": "10",
    "0.mig_3": "11",
    "10.name": "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
    "10.uuid": "MIG-aaaa",
    "10.mem_total": "9984MiB",
    "10.mem_reserved": "0",
    "10.compute_procs": "4242:5000MiB",
    "11.name": "NVIDIA H100 80GB HBM3 MIG 1g.20gb",
    "11.uuid": "MIG-bbbb",
    "11.mem_total": "20096MiB",
}


def test_a_card_cut_by_mig_is_set_aside_and_its_first_partition_is_the_gpu(machine, see_with_nvml):
    """1g.10gb is 9984 MiB, 1g.20gb 20096 MiB (samples of github.com/gpustack/runtime)."""
    hardware = see_with_nvml(plant(machine("dual-3090"), COMFY), profile("dual-3090", MIG))
    (first,) = hardware.gpus
    card, second = hardware.set_aside
    assert (first.id, first.parent) == ("mig:MIG-aaaa", "pci:0000:01:00.0")
    assert first.name == "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
    assert (first.memory_total_bytes, second.memory_total_bytes) == (9984 * MIB, 20096 * MIB)
    assert first.memory_free_bytes == (9984 - 18) * MIB
    assert first.tenants == (GpuProcess(4242, "python3 main.py", 5000 * MIB),)
    assert first.bandwidth_bytes_per_s == pytest.approx(936.2e9 * 9984 / 81559, rel=1e-2)
    assert (card.id, card.set_aside) == ("pci:0000:01:00.0", "cut into 2 MIG partitions")
    assert second.set_aside.endswith("not this one unless CUDA_VISIBLE_DEVICES=MIG-bbbb")
    assert hardware.sources["gpus[mig:MIG-aaaa].memory_total_bytes"].source == "nvml"


@pytest.mark.parametrize(
    ("visible", "used"),
    [
        pytest.param("MIG-bbbb", "MIG-bbbb", id="named"),
        pytest.param("MIG-bbbb,MIG-aaaa", "MIG-bbbb", id="the first that is named"),
        pytest.param("MIG-cccc", "MIG-aaaa", id="one that is not here"),
    ],
)
def test_one_partition_is_used_and_no_card_beside_it(machine, see_with_nvml, monkeypatch, visible, used):
    """A CUDA process sees no more (NVIDIA's MIG guide, "CUDA Device Enumeration"): a plan that splits a
    model over two partitions, or over one and a card, could not be served."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    hardware = see_with_nvml(machine("dual-3090"), profile("dual-3090", {**MIG, "count": "2"}))
    assert [gpu.uuid for gpu in hardware.gpus] == [used]
    assert {gpu.id for gpu in hardware.set_aside} == {
        "pci:0000:01:00.0",
        "pci:0000:04:00.0",
        "mig:MIG-aaaa" if used == "MIG-bbbb" else "mig:MIG-bbbb",
    }
    assert "sees no other card" in next(gpu.set_aside for gpu in hardware.set_aside if "04:00" in gpu.id)


def test_mig_without_a_partition_says_so(machine, see_with_nvml):
    answers = profile("dual-3090", {**MIG, "0.mig_0": None, "0.mig_3": None})
    hardware = see_with_nvml(machine("dual-3090"), answers)
    assert (hardware.gpus, len(hardware.set_aside)) == ((), 1)
    assert "there is no partition" in hardware.problems[0].what
    assert "nvidia-smi mig -cgi" in hardware.problems[0].hint


def test_a_card_shared_out_to_virtual_machines_is_set_aside(machine, see_with_nvml):
    answers = profile("dual-3090", {"0.virtualization": "3", "1.virtualization": "2", "cuda_version": "!3"})
    hardware = see_with_nvml(machine("dual-3090"), answers)
    assert [gpu.id for gpu in hardware.gpus] == ["pci:0000:04:00.0"], "inside of a machine it is a card"
    assert "vGPU host" in hardware.set_aside[0].set_aside
    assert hardware.stacks.cuda is None
