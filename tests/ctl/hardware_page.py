"""Fills in the output of ``node-ctl probe`` in docs/hardware.md: ``python -m tests.ctl.hardware_page``."""

import json
import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from ctl.show.machine.hardware import hardware_lines
from ctl.show.machine.sources import sources_lines
from tests.conftest import ROOT
from tests.rigs import nvml
from tests.rigs.trees import plant_machine

PAGE = ROOT / "docs" / "hardware.md"
RECORDED = ROOT / "tests" / "captures" / "probe.json"  # what the daemon answered on a machine of two cores
BLOCK = re.compile(r"(<!-- (probe|sources): (\S+) -->\n```console\n\$ [^\n]*\n)(.*?)(\n```\n)", re.DOTALL)

# A child, because the environment decides which NVML library is loaded
CHILD = """
import json, pathlib, sys
from config.data import known_gpus
from domain.serialization import to_json
from probes import snapshot
root = pathlib.Path(sys.argv[1])
print(json.dumps(to_json(snapshot.probe(root=root, models_dir=root, known_gpus=known_gpus()))))
"""


def text(library: Path) -> str:
    """The page with the present output; ``library`` is the folder of the stand-in for NVML."""
    return BLOCK.sub(partial(_filled, library), PAGE.read_text())


def _filled(library: Path, block: re.Match[str]) -> str:
    before, kind, machine, _, after = block.groups()
    here = machine == "here"
    seen = json.loads(RECORDED.read_text()) if here else take_snapshot(machine, library)
    lines = hardware_lines(seen) if kind == "probe" else sources_lines(seen)
    # the storage of a recorded machine is that of the machine on which it was unpacked
    return before + "\n".join(line for line in lines if here or not line.startswith("storage")) + after


def take_snapshot(machine: str, library: Path) -> Any:
    """The snapshot of a recorded machine."""
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
