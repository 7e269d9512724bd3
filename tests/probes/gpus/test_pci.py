"""What the PCI bus tells without waking anything: devices, drivers, links, connectors."""

import pytest

from domain.machine.hardware import MemoryKind, Npu, ProblemKind
from probes.gpus import npu, pci
from tests.probes.slots import CARD, behind
from tests.rigs.trees import plant

GIB = 1024**3


def test_a_b580_is_present_with_the_memory_of_the_table(machine, see):
    hardware = see(machine("arc-b580"))
    (gpu,) = hardware.gpus
    assert (gpu.id, gpu.vendor, gpu.name) == ("pci:0000:0b:00.0", "intel", "Intel Arc B580")
    assert (gpu.memory_kind, gpu.memory_total_bytes) == (MemoryKind.DEDICATED, 12 * GIB)
    assert gpu.memory_free_bytes is None, "no file tells it"
    assert (gpu.driver, gpu.temperature_c) == ("xe 6.16.0", 46)
    assert (gpu.bandwidth_bytes_per_s, hardware.problems) == (456e9, ())


@pytest.mark.parametrize(
    ("driver", "what", "hint"),
    [
        (None, "no driver is bound", "nvidia driver"),
        ("vfio-pci", "it is bound to vfio-pci", "virtual machine"),
        ("nouveau", "its driver is nouveau", "bind it to nvidia"),
    ],
)
def test_a_gpu_without_its_driver_is_present_and_unusable(tmp_path, see, driver, what, hint):
    behind(tmp_path, {}, {})
    if driver:
        plant(tmp_path, {}, {f"{CARD}/driver": f"../../../../bus/pci/drivers/{driver}"})
    hardware = see(tmp_path)
    problem = next(problem for problem in hardware.problems if problem.source == "pci")
    assert hardware.gpus == ()
    assert problem.what == f"nvidia GPU 10de:2204 at 0000:01:00.0 is present, unusable: {what}"
    assert hint in problem.hint
    assert problem.trouble is (None if driver == "vfio-pci" else ProblemKind.DRIVER)


def test_graphics_of_servers_and_virtual_machines_are_none_of_ours(tmp_path):
    for number, vendor in enumerate(("0x1a03", "0x1af4", "0x15ad")):
        slot = f"sys/bus/pci/devices/0000:00:0{number}.0"
        plant(tmp_path, {f"{slot}/class": "0x030000", f"{slot}/vendor": vendor, f"{slot}/device": "0x2000"})
    assert pci.probe(tmp_path) == ()


def test_integrated_graphics_of_an_n100_are_set_aside(machine, see):
    hardware = see(machine("n100"))
    assert (hardware.gpus, hardware.problems) == ((), ())


def test_an_npu_is_shown_and_is_no_gpu(machine, see):
    hardware = see(machine("strix-halo-128"))
    assert hardware.npus == (Npu("pci:0000:c4:00.1", "amd", "XDNA 2 (Strix Halo)", "amdxdna"),)
    assert len(hardware.gpus) == 1


def test_an_npu_that_sleeps_tells_the_firmware_its_driver_has_read(machine, see):
    """amdxdna's fw_version is what it read at its start: reading it wakes nothing."""
    npu_path = "sys/bus/pci/devices/0000:c4:00.1"
    files = {f"{npu_path}/fw_version": "255.0.5.35\n", f"{npu_path}/power/runtime_status": "suspended\n"}
    (result,) = see(plant(machine("strix-halo-128"), files)).npus
    assert result.firmware == "255.0.5.35"


def test_an_npu_of_intel_is_no_gpu_without_its_driver_either(tmp_path, see):
    files = {f"{CARD}/class": "0x120000", f"{CARD}/vendor": "0x8086", f"{CARD}/device": "0x643e"}
    hardware = see(plant(tmp_path, files))
    assert (hardware.gpus, [problem for problem in hardware.problems if problem.source == "pci"]) == ((), [])


@pytest.mark.parametrize(
    ("device", "name"),
    [
        (pci.PciDevice("0000:c4:00.1", "1022", "1502", 0x118000, CARD), "XDNA (Phoenix, Hawk Point)"),
        (
            pci.PciDevice("0000:00:0b.0", "8086", "643e", 0x120000, CARD, None, "intel_vpu"),
            "Intel NPU 8086:643e",
        ),
        (
            pci.PciDevice("0000:81:00.0", "17cb", "a100", 0x120000, CARD, None, "qaic"),
            "Qualcomm Cloud AI 100 17cb:a100",
        ),
    ],
)
def test_other_npus(device, name):
    assert npu.probe([device])[0].name == name


def test_displays(machine):
    root = machine("rx-7900-xtx")
    (card,) = pci.probe(root)
    assert pci.display_attached(card) is True
    plant(root, {f"{card.path.relative_to(root)}/drm/card0/card0-DP-1/status": "disconnected"})
    assert pci.display_attached(card) is False


def test_without_connectors_a_display_is_unknown(machine):
    (card,) = pci.probe(machine("arc-b580"))
    assert pci.display_attached(card) is None
