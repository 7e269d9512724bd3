"""Fills in what ``node-ctl probe`` says in docs/hardware.md: ``python -m tests.ctl.hardware_page``."""

import json
import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from ctl.show.hardware import hardware_lines
from ctl.show.sources import sources_lines
from tests.conftest import ROOT
from tests.rigs import nvml
from tests.rigs.trees import plant_machine

PAGE = ROOT / "docs" / "hardware.md"
RECORDED = ROOT / "tests" / "captures" / "probe.json"  # what the daemon answered on a machine of two cores
BLOCK = re.compile(r"(<!-- (probe|sources): (\S+) -->\n```console\n\$ [^\n]*\n)(.*?)(\n```\n)", re.DOTALL)

# A child of its own: the library that stands in for NVIDIA's is found by the environment
CHILD = """
import json, pathlib, sys
from config.data import known_gpus
from domain.serialization import to_json
from probes import snapshot
root = pathlib.Path(sys.argv[1])
print(json.dumps(to_json(snapshot.probe(root=root, models_dir=root, known_gpus=known_gpus()))))
"""


def text(library: Path) -> str:
    """The page with what is said now; ``library`` is the folder of the library that stands in."""
    return BLOCK.sub(partial(_filled, library), PAGE.read_text())


def _filled(library: Path, block: re.Match[str]) -> str:
    before, kind, machine, _, after = block.groups()
    here = machine == "here"
    seen = json.loads(RECORDED.read_text()) if here else look(machine, library)
    lines = hardware_lines(seen) if kind == "probe" else sources_lines(seen)
    # the disk of a recorded machine is the one that it was unpacked on
    return before + "\n".join(line for line in lines if here or not line.startswith("storage")) + after


def look(machine: str, library: Path) -> Any:
    """What the probes find of a recorded machine."""
    with tempfile.TemporaryDirectory() as folder:
        root, answers = plant_machine(Path(folder) / "root", machine), Path(folder) / "answers"
        answers.write_text(nvml.profile(machine))
        changes = nvml.environment(library, answers) if answers.read_text() else {}
        argv = [sys.executable, "-c", CHILD, str(root)]
        done = subprocess.run(
            argv, cwd=ROOT, env={**os.environ, **changes}, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as built:
        PAGE.write_text(text(nvml.build(Path(built))))
