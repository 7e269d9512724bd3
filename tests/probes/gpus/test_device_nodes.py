"""GPUs that a container sees in /sys, without the device nodes to use them."""

import shutil

import pytest

from domain.machine.hardware import ProblemKind
from probes.gpus.nvidia import nvml
from probes.gpus.nvidia.probe import startup_problems
from tests.rigs.nvml import profile
from tests.rigs.trees import plant


@pytest.mark.parametrize("name", ["rx-7900-xtx", "strix-halo-128", "arc-b580"])
def test_a_card_without_its_node_is_set_aside(machine, see, name):
    root = machine(name)
    (card,) = see(root).gpus
    shutil.rmtree(root / "dev")
    hardware = see(root)
    assert hardware.gpus == ()
    (aside,) = (gpu for gpu in hardware.set_aside if gpu.id == card.id)
    assert aside.set_aside == "not usable here: its device node /dev/dri/renderD* is not there"
    assert aside.memory_total_bytes == card.memory_total_bytes, "what it has is told all the same"
    (problem,) = (problem for problem in hardware.problems if problem.trouble is ProblemKind.NO_NODE)
    for place in ("Docker", "Podman", "Proxmox", "LXC"):
        assert place in problem.hint


def test_of_two_cards_the_one_whose_node_was_passed_is_used(machine, see):
    slots = ("0000:04:00.0", "0000:07:00.0")
    nodes = {f"sys/bus/pci/devices/{slot}/drm/renderD{128 + n}/dev": "" for n, slot in enumerate(slots)}
    hardware = see(plant(machine("rx-7800-xt-dual"), nodes))  # which has renderD128
    assert [gpu.id for gpu in hardware.gpus] == [f"pci:{slots[0]}"]
    (aside,) = (gpu for gpu in hardware.set_aside if gpu.id == f"pci:{slots[1]}")
    assert "/dev/dri/renderD129 is not there" in aside.set_aside


def test_of_two_nvidia_cards_the_one_that_a_container_was_given_is_used(machine, see_with_nvml):
    answers = profile("dual-3090", {"count": "1"})
    hardware = see_with_nvml(machine("dual-3090"), answers)
    assert len(hardware.gpus) == 1
    assert [problem.trouble for problem in hardware.problems] == [ProblemKind.HIDDEN]


def test_an_unknown_error_of_nvml_names_the_container_first():
    (problem,) = startup_problems(nvml.UNKNOWN, None, expected=True)
    assert problem.hint.startswith("in a container, restart it")
    assert "dmesg" in problem.hint
