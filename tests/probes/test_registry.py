"""The registry is the one place where a source is wired: what a row adds is in the snapshot."""

from dataclasses import replace
from pathlib import Path

import pytest

from domain.machine.hardware import Gpu, Problem
from domain.machine.provenance import Provenance
from probes import registry
from probes.result import VendorReading, with_gpus

SOURCE = Provenance("driver")
GPU = Gpu("pci:0000:07:00.0", "qualcomm", "Cloud AI 100")


def test_a_new_vendor_is_one_row(tmp_path: Path, see, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = VendorReading(
        (GPU,), problems=(Problem("qualcomm", "it is warm"),), provenance={GPU.id: {"name": SOURCE}}
    )
    monkeypatch.setitem(registry.PROBES, "qualcomm", lambda _, hardware: with_gpus(hardware, reading))
    hardware = see(tmp_path)
    assert hardware.gpus == (GPU,)
    assert hardware.problems[-1].source == "qualcomm"
    assert hardware.sources[f"gpus[{GPU.id}].name"] == SOURCE


def test_a_row_sees_what_the_rows_above_it_found(machine, see, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []

    def look(_, hardware):
        names.extend(gpu.name for gpu in hardware.gpus)
        return hardware

    monkeypatch.setitem(registry.PROBES, "last", look)
    assert names == [gpu.name for gpu in see(machine("strix-halo-128")).gpus] != []


def test_several_rows_share_one_reading_of_the_bus(machine, see, opened, monkeypatch) -> None:
    def look_again(context, hardware):
        return replace(hardware, name=str(len(context.pci_devices)))

    monkeypatch.setitem(registry.PROBES, "again", look_again)
    assert see(machine("strix-halo-128")).name == "2"
    assert sum(path.endswith("sys/bus/pci/devices") for path in opened) == 1


@pytest.mark.parametrize("name", registry.PROBES)
def test_a_row_that_breaks_costs_no_other(machine, see, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    root = machine("strix-halo-128")
    monkeypatch.setitem(registry.PROBES, name, broken)
    hardware = see(root)
    assert [(problem.source, problem.what) for problem in hardware.problems] == [
        (name, "the probe failed: RuntimeError('a bug')")
    ]
    known = {
        "cpu": hardware.cpu.physical_cores,
        "memory": hardware.memory.total_bytes,
        "amd": [gpu.id for gpu in hardware.gpus],
        "npu": [npu.id for npu in hardware.npus],
        "thermals": len(hardware.thermals),
        "stacks": hardware.stacks.amdgpu_dkms,
        "storage": hardware.storage.free_bytes is not None,
    }
    expected = {
        "cpu": 16,
        "memory": 134154006528,
        "amd": ["pci:0000:c3:00.0"],
        "npu": ["pci:0000:c4:00.1"],
        "thermals": 2,
        "stacks": "6.16.6",
        "storage": True,
    }
    assert {row for row in expected if known[row] != expected[row]} == {name} & expected.keys()
