"""What the doctor finds on recorded machines, their NVML answering as it did, and that no problem is lost."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.doctor.checks.input import DoctorInput
from daemon.doctor.service import CHECKS, findings
from domain.hardware import Hardware, Problem, ProblemKind
from domain.serialization import from_json
from probes.system import setup
from tests.daemon.doctor.checks.build import BUILD, WELL, facts
from tests.rigs import nvml
from tests.rigs.trees import plant_machine

CHILD = """
import json, pathlib, sys
from config.data import known_gpus
from domain.serialization import to_json
from probes import snapshot
root = pathlib.Path(sys.argv[1])
print(json.dumps(to_json(snapshot.probe(root=root, models_dir=root, known_gpus=known_gpus()))))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nvml.build(tmp_path_factory.mktemp("nvml"))


def recorded(name: str, folder: Path, library: Path, changes: Mapping[str, str] | None = None) -> DoctorInput:
    root = plant_machine(folder / "root", name)
    answers = folder / "answers.nvml"
    answers.write_text(nvml.profile(name, changes))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(root)],
        env={**os.environ, **nvml.environment(library, answers)},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = replace(from_json(Hardware, json.loads(done.stdout)), engines=(BUILD,))
    return replace(WELL, hardware=seen, system=setup.probe(root))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param("dual-3090", {"memlock", "pcie", "heat"}, id="two 3090, one slow and hot"),
        pytest.param("dgx-spark", {"memlock", "early-oom"}, id="a DGX Spark"),
        pytest.param("strix-halo-128", {"memlock", "shared-memory", "early-oom"}, id="a Strix Halo"),
        pytest.param("rx-7900-xtx", {"memlock"}, id="a desktop with a Radeon"),
        pytest.param("arc-b580", {"memlock"}, id="a desktop with an Arc"),
        pytest.param("n100", {"memlock"}, id="a small box without a GPU"),
    ],
)
def test_what_is_wrong_with_recorded_machines(
    name: str, found: set[str], tmp_path: Path, library: Path
) -> None:
    told = findings(recorded(name, tmp_path, library))
    assert {one.check for one in told if one.status in ("warning", "error")} == found
    assert all(one.recheck == f"node-ctl doctor --check {one.check}" for one in told if one.status != "ok")


@pytest.mark.parametrize(
    ("changes", "check", "fix"),
    [
        pytest.param({"init": "!18"}, "driver", "reboot", id="the library is newer than the module"),
        pytest.param({"init": "!9"}, "driver", "sudo modprobe nvidia", id="the module is not loaded"),
        pytest.param({"1.lost": "!15"}, "driver", "power the machine off", id="a card fell off the bus"),
        pytest.param({"count": "0"}, "sandbox", "DeviceAllow=char-nvidia", id="NVML shows no card"),
    ],
)
def test_what_is_wrong_with_nvidias_driver(
    changes: dict[str, str], check: str, fix: str, tmp_path: Path, library: Path
) -> None:
    told = findings(recorded("dual-3090", tmp_path, library, changes))
    bad = [one for one in told if one.status == "error"]
    assert {one.check for one in bad} == {check}
    assert all(fix in one.fix for one in bad)


@pytest.mark.parametrize("trouble", [None, *ProblemKind])
def test_no_problem_of_a_probe_gets_lost(trouble: ProblemKind | None) -> None:
    problem = Problem("a probe", "this very thing", "do that", trouble)
    told = findings(facts(box={"problems": (problem,)}))
    assert ["this very thing" in one.found and "do that" in one.fix for one in told].count(True) == 1


def test_a_machine_of_which_nothing_is_known_is_never_well() -> None:
    """But for what a daemon can say of itself."""
    told = findings(DoctorInput(now=WELL.now))
    assert {one.check for one in told if one.status == "ok"} <= {"problems"}
    assert {one.check for one in told} <= set(CHECKS)
