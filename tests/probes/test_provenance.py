"""Every value of a snapshot tells who said it; what is unknown has no source."""

from collections.abc import Iterator
from dataclasses import fields

import pytest

from domain.machine.hardware import Hardware
from tests.rigs import nvml
from tests.rigs.trees import MACHINES, plant

IDENTITY = {"id", "vendor", "pci_id"}  # of a device: they say which one the others are of


def known(where: str, part: object) -> Iterator[str]:
    for item in fields(part):
        if getattr(part, item.name) not in (None, (), False) and item.name not in IDENTITY:
            yield f"{where}.{item.name}"


def values(hardware: Hardware) -> Iterator[str]:
    for part in ("cpu", "memory", "storage", "stacks"):
        yield from known(part, getattr(hardware, part))
    for part in ("gpus", "set_aside", "npus"):
        for device in getattr(hardware, part):
            yield from known(f"{part}[{device.id}]", device)
    for part, reading in (("thermals", "temperature_c"), ("fans", "rpm"), ("power", "power_w")):
        yield from (f"{part}[{item.sensor}].{reading}" for item in getattr(hardware, part))


@pytest.mark.parametrize("name", sorted(path.stem for path in MACHINES.glob("*.json")))
def test_every_value_of_a_machine_tells_its_source(machine, see, see_with_nvml, name):
    answers = nvml.profile(name)
    hardware = see_with_nvml(machine(name), answers) if answers else see(machine(name))
    assert set(values(hardware)) - hardware.sources.keys() == set()
    assert [name for name, provenance in hardware.sources.items() if not provenance.source] == []


def test_fans_watts_and_modules_tell_their_source_too(machine, see):
    root = machine("rx-7900-xtx")
    chip, zone = "sys/class/hwmon/hwmon8", "sys/class/powercap/intel-rapl:0"
    module = "E:MEMORY_DEVICE_0_SIZE=17179869184\nE:MEMORY_DEVICE_0_DATA_WIDTH=64\n"
    module += "E:MEMORY_DEVICE_0_CONFIGURED_SPEED_MTS=3200\n"
    plant(root, {f"{chip}/fan1_input": "0", f"{zone}/energy_uj": "5", "run/udev/data/+dmi:id": module})
    hardware = see(root)
    assert (len(hardware.fans), len(hardware.power), len(hardware.memory.modules)) == (1, 1, 1)
    assert set(values(hardware)) - hardware.sources.keys() == set()


def test_what_is_unknown_has_no_source(tmp_path, see):
    assert set(see(tmp_path).sources) == {"storage.path", "storage.free_bytes", "storage.total_bytes"}
