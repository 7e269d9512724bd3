"""No answer of NVIDIA's library makes the probe raise, or tells what can't be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.machine.hardware import Hardware
from domain.serialization import from_json
from tests.rigs import nvml
from tests.rigs.nvml import profile
from tests.rigs.trees import MACHINES, plant_machine

# A process of its own: a library once loaded stays
CHILD = """
import json, os, pathlib, sys
from config.data import known_gpus
from domain.serialization import to_json
from probes import snapshot
roots, answers = json.load(sys.stdin)
seen = []
for root, text in zip(roots, answers):
    pathlib.Path(os.environ["NVML_SHIM_PROFILE"]).write_text(text)
    root = pathlib.Path(root)
    seen.append(to_json(snapshot.probe(root=root, models_dir=root, known_gpus=known_gpus())))
print(json.dumps(seen))
"""
SEEDS = [name for name in sorted(path.stem for path in MACHINES.glob("*.json")) if profile(name)]
ERRORS = st.sampled_from([1, 2, 3, 4, 6, 7, 9, 13, 15, 18, 25, 999]).map(lambda code: f"!{code}")
NUMBERS = st.one_of(st.integers(0, 300), st.integers(-(2**70), 2**70)).map(str)
WORDS = st.sampled_from(
    ["", "0", "N/A", "x", "8.6", "12.1", "99999999.0", "00000000:01:00.0", "zz:yy", "1:2,3:na"]
)
VALUES = st.one_of(ERRORS, NUMBERS, NUMBERS.map(lambda number: f"{number}MiB"), WORDS)
MORE = (
    "count",
    "init",
    "0.mig",
    "0.mig_max",
    "0.mig_0",
    "0.nvlink_0",
    "0.nvlink_0_pci",
    "0.virtualization",
    "*.lost",
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], dict[str, str]]:
    folder = tmp_path_factory.mktemp("nvml")
    roots = {name: plant_machine(tmp_path_factory.mktemp(name), name) for name in SEEDS}
    return roots, nvml.environment(nvml.build(folder), folder / "answers")


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, str]:
    name = draw(st.sampled_from(SEEDS))
    recorded = json.loads((MACHINES / f"{name}.json").read_text())["nvml"]
    keys = st.sampled_from([*recorded, *MORE])
    return name, profile(name, draw(st.dictionaries(keys, VALUES, min_size=1, max_size=8)))


# not shrunk: an example is a process, and the assertion tells which answers it was
@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(cases=st.lists(answers(), min_size=8, max_size=14))
def test_whatever_the_library_says_the_machine_is_still_seen(rig, cases):
    roots, environment = rig
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps([[str(roots[name]) for name, _ in cases], [text for _, text in cases]]),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    for seen_json, (_, text) in zip(json.loads(done.stdout), cases, strict=True):
        hardware = from_json(Hardware, seen_json)
        assert [problem.what for problem in hardware.problems if "the probe failed" in problem.what] == [], (
            text
        )
        for gpu in (*hardware.gpus, *hardware.set_aside):
            assert gpu.memory_total_bytes is None or gpu.memory_total_bytes > 0, text
            if gpu.memory_free_bytes is not None:
                assert 0 <= gpu.memory_free_bytes <= gpu.memory_total_bytes, text
            assert gpu.bandwidth_bytes_per_s is None or gpu.bandwidth_bytes_per_s > 0, text
            assert gpu.pcie_bytes_per_s is None or gpu.pcie_bytes_per_s > 0, text
            assert gpu.power_w is None or 0 <= gpu.power_w < 10_000, text
