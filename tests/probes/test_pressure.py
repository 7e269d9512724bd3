"""How long tasks waited for a CPU, by what a real kernel said."""

import json
from pathlib import Path

import pytest

from probes.cpu import pressure
from probes.cpu.pressure import Pressure, parse_stalled_s
from tests.rigs.trees import plant

CAPTURED = json.loads((Path(__file__).parent.parent / "captures/linux/psi-cpu.json").read_text())
BUSY, LATER = (reading["text"] for reading in CAPTURED[:2])
SYSTEM = "proc/pressure/cpu"
GROUP = "sys/fs/cgroup/system.slice/node-daemon.service/cpu.pressure"


def stalled_s(root: Path) -> float | None:
    found = pressure.probe(root)
    return None if found is None else found.stalled_s


def test_the_share_of_the_time_between_two_readings_is_what_counts() -> None:
    first, second, third = (
        Pressure(parse_stalled_s(reading["text"]) or 0.0, reading["at_s"]) for reading in CAPTURED
    )
    assert second.stalled_share(first) == pytest.approx(0.9956, abs=1e-4)
    assert third.stalled_share(second) == pytest.approx(0.9006, abs=1e-4)
    assert first.stalled_share(first) is None, "no time passed"
    assert Pressure(2.0, 11.0).stalled_share(Pressure(2.0, 10.0)) == 0.0


def test_the_kernel_has_an_average_of_the_last_minute(tmp_path: Path) -> None:
    plant(tmp_path, {SYSTEM: BUSY})
    found = pressure.probe(tmp_path)
    assert found is not None
    assert found.last_minute_share == pytest.approx(0.9373)
    assert pressure.parse_last_minute_share("some avg10=1.00 total=5") is None


def test_the_own_control_group_tells_more_than_the_machine(tmp_path: Path) -> None:
    plant(tmp_path, {SYSTEM: BUSY, GROUP: LATER, "proc/self/cgroup": "0::/system.slice/node-daemon.service"})
    assert stalled_s(tmp_path) == 8647.510774


@pytest.mark.parametrize(
    "group",
    [
        pytest.param({"proc/self/cgroup": "0::/system.slice/node-daemon.service"}, id="has no such file"),
        pytest.param({"proc/self/cgroup": "4:cpu:/boxes/one"}, id="of version 1 has none at all"),
        pytest.param({}, id="is not known"),
    ],
)
def test_where_the_group_does_not_tell_the_machine_does(tmp_path: Path, group: dict[str, str]) -> None:
    plant(tmp_path, {SYSTEM: BUSY, **group})
    assert stalled_s(tmp_path) == 8645.500373


@pytest.mark.parametrize("text", [None, "", "some avg10=0.00", "some avg10=0.00 total=x", "full total=5"])
def test_a_kernel_without_psi_is_unknown_and_not_idle(tmp_path: Path, text: str | None) -> None:
    plant(tmp_path, {SYSTEM: text} if text is not None else {})
    assert pressure.probe(tmp_path) is None
