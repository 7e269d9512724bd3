"""NVIDIA's management library with chosen answers: compiled with gcc, loaded by child processes.

The answers of a machine are the ``nvml`` part of its capture. Written as a file of ``key=value`` lines,
it is read at every call, so a test may replace it meanwhile.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.rigs.trees import MACHINES

FOLDER = Path(__file__).parent
LIBRARY = "libnvidia-ml.so.1"


def build(into: Path) -> Path:
    """Compiles the library into a folder, which ``LD_LIBRARY_PATH`` is to name."""
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}"]
    subprocess.run(["gcc", *flags, "-o", into / LIBRARY, FOLDER / "shim.c"], check=True)
    return into


def profile(machine: str, changes: Mapping[str, str | None] | None = None) -> str:
    """The answers of a recorded machine with some changed, added or (None) taken away; "" if it has none."""
    recorded = json.loads((MACHINES / f"{machine}.json").read_text()).get("nvml", {})
    answers = {**recorded, **(changes or {})}
    return "".join(f"{key}={value}\n" for key, value in answers.items() if value is not None)


def environment(library: Path, answers: Path) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": str(library), "NVML_SHIM_PROFILE": str(answers)}
