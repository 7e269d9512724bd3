"""How a GPU is shown: in one line, without what is unknown."""

from dataclasses import replace

import pytest

from ctl.show.machine.gpus import gpu_lines, npu_line, set_aside_line, stacks_text
from domain.machine.accelerator import GpuProcess, PcieLink, Peer, RuntimeDevice
from domain.machine.hardware import Gpu, MemoryKind, Npu, Stacks
from domain.units import GIB

CARD = Gpu("pci:0000:01:00.0", "nvidia", "RTX 3090", MemoryKind.DEDICATED, 24 * GIB, 18 * GIB)
SHORT = "RTX 3090, 18.0 GiB of 24.0 GiB free, dedicated"


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (CARD, ""),
        (replace(CARD, power_w=27.2), "27 W, "),
        (
            replace(CARD, power_w=27.2, power_limit_w=280.0, power_default_w=350.0),
            "27 of 280 W (350 W by default), ",
        ),
        (replace(CARD, power_limit_w=350.0, power_default_w=350.0), "? of 350 W, "),
        (replace(CARD, link=PcieLink(1, 16, 4, 16, 4, 16)), "PCIe 4.0 x16, "),
        (replace(CARD, link=PcieLink(1, 4, 3, 4, 4, 16, external=True)), "external PCIe 3.0 x4 of x16, "),
        (replace(CARD, link=PcieLink()), "PCIe ?.0 x?, "),
        (replace(CARD, peers=(Peer("B", p2p=True, nvlinks=4),)), "4 NVLinks to B, "),
        (replace(CARD, peers=(Peer("B", p2p=True), Peer("C", p2p=False))), "P2P with B, "),
        (replace(CARD, fan_percent=30.0), "fan 30 %, "),
        (replace(CARD, fan_percent=30.0, fan_rpm=0), "fan 0 rpm, "),
        (replace(CARD, throttled_by=("sw_thermal",)), "throttled by sw_thermal, "),
        (replace(CARD, throttled_by=()), ""),
        (replace(CARD, asleep=True, display_attached=True), "asleep, display, "),
    ],
)
def test_a_gpu_in_a_line(card, words):
    assert gpu_lines(card) == [f"{SHORT}, {words}pci:0000:01:00.0"]


def test_processes_that_hold_its_memory_are_shown_below():
    tenants = (GpuProcess(4242, "python3 ComfyUI/main.py", 6 * GIB), GpuProcess(9))
    _, *below = gpu_lines(replace(CARD, tenants=tenants))
    assert below == [
        "python3 ComfyUI/main.py (pid 4242) holds 6.0 GiB",
        "a process (pid 9) holds ?",
    ]


def test_what_is_set_aside_says_why():
    assert set_aside_line(replace(CARD, set_aside="cut into 2 MIG partitions")) == (
        "RTX 3090 (pci:0000:01:00.0): cut into 2 MIG partitions"
    )


def test_stacks_and_npus_in_a_line():
    assert stacks_text(Stacks()) == ""
    assert stacks_text(Stacks(cuda="13.0", cuda_toolkit="12.9", kernel="6.18.9")) == (
        "CUDA 13.0, toolkit 12.9, kernel 6.18.9"
    )
    assert stacks_text(Stacks(vulkan="1.3.239")) == "Vulkan 1.3.239 (no GPU)"
    assert stacks_text(Stacks(vulkan="1.3.239", vulkan_devices=(RuntimeDevice("X"),))) == "Vulkan 1.3.239"
    assert npu_line(Npu("pci:0000:c4:00.1", "amd", "XDNA 2", firmware="1.0.0.63")) == (
        "XDNA 2 (pci:0000:c4:00.1), firmware 1.0.0.63, unused: no supported engine runs on it"
    )
