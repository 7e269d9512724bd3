"""Every recorded machine, replayed: its files below a root, its NVML through the stand-in library.

What is expected stands in the capture, beside the facts that it follows from.
"""

import json
from collections.abc import Mapping

import pytest

from domain.serialization import to_json
from tests.rigs.nvml import profile
from tests.rigs.trees import MACHINES

NAMES = sorted(path.stem for path in MACHINES.glob("*.json"))


def known(value: Mapping[str, object]) -> dict[str, object]:
    return {name: item for name, item in value.items() if item is not None}


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_machine_is_seen_as_it_is(machine, see_with_nvml, name):
    expected = json.loads((MACHINES / f"{name}.json").read_text())["expected"]
    hardware = see_with_nvml(machine(name), profile(name), table="shipped")
    assert [known(to_json(gpu)) for gpu in hardware.gpus] == expected["gpus"]
    assert [known(to_json(gpu)) for gpu in hardware.set_aside] == expected["set_aside"]
    assert known(to_json(hardware.cpu)) == expected["cpu"]
    assert known(to_json(hardware.memory)) == expected["memory"]
    for part in ("thermals", "fans", "power"):
        assert [known(item) for item in to_json(getattr(hardware, part))] == expected[part]
    assert to_json(hardware.npus) == expected["npus"]
    assert {k: v for k, v in to_json(hardware.stacks).items() if v} == expected["stacks"]
    assert [problem.what for problem in hardware.problems] == expected["problems"]


def test_every_capture_says_where_it_comes_from_and_what_in_it_is_inferred():
    assert len(NAMES) >= 21
    for name in NAMES:
        recorded = json.loads((MACHINES / f"{name}.json").read_text())
        assert recorded["machine"] == name
        assert recorded["sources"]
        assert isinstance(recorded["inferred"], list)
