"""What the doctor finds on recorded machines, with their NVML replayed; and that no problem is lost."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.doctor.checks.input import DoctorInput
from daemon.doctor.service import CHECKS, run_checks
from domain.machine.hardware import Hardware, Problem, ProblemKind
from domain.serialization import from_json
from probes.system import setup
from tests.daemon.doctor.checks.build import BUILD, HEALTHY, inputs
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


def recorded(
    machine: str, folder: Path, library: Path, changes: Mapping[str, str] | None = None
) -> DoctorInput:
    root = plant_machine(folder / "root", machine)
    answers = folder / "answers.nvml"
    answers.write_text(nvml.profile(machine, changes))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(root)],
        env={**os.environ, **nvml.environment(library, answers)},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = replace(from_json(Hardware, json.loads(done.stdout)), engines=(BUILD,))
    return replace(HEALTHY, hardware=seen, system=setup.probe(root))


@pytest.mark.parametrize(
    ("machine", "expected"),
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
    machine: str, expected: set[str], tmp_path: Path, library: Path
) -> None:
    findings = run_checks(recorded(machine, tmp_path, library))
    assert {finding.check for finding in findings if finding.status in ("warning", "error")} == expected
    assert all(
        finding.recheck == f"node-ctl doctor --check {finding.check}"
        for finding in findings
        if finding.status != "ok"
    )


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
    findings = run_checks(recorded("dual-3090", tmp_path, library, changes))
    errors = [finding for finding in findings if finding.status == "error"]
    assert {finding.check for finding in errors} == {check}
    assert all(fix in finding.fix for finding in errors)


@pytest.mark.parametrize("trouble", [None, *ProblemKind])
def test_no_problem_of_a_probe_gets_lost(trouble: ProblemKind | None) -> None:
    problem = Problem("a probe", "this very thing", "do that", trouble)
    findings = run_checks(inputs(hardware={"problems": (problem,)}))
    assert sum("this very thing" in finding.found and "do that" in finding.fix for finding in findings) == 1


def test_a_machine_of_which_nothing_is_known_is_never_well() -> None:
    """Except for what a daemon knows of itself."""
    findings = run_checks(DoctorInput(now=HEALTHY.now))
    assert {finding.check for finding in findings if finding.status == "ok"} <= {"problems", "settings"}
    assert {finding.check for finding in findings} <= set(CHECKS)
