"""NVIDIA's management library with chosen answers: compiled with gcc, loaded by child processes.

A profile holds the answers, a line each; it is read at every call, so a test may replace it meanwhile.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
LIBRARY = "libnvidia-ml.so.1"


def build(into: Path) -> Path:
    """Compiles the library into a folder, which ``LD_LIBRARY_PATH`` is to name."""
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}"]
    subprocess.run(["gcc", *flags, "-o", into / LIBRARY, FOLDER / "shim.c"], check=True)
    return into


def profile(name: str, changes: Mapping[str, str | None] | None = None) -> str:
    """The text of ``NAME.nvml`` with some answers changed, added or (None) taken away."""
    lines = (FOLDER / f"{name}.nvml").read_text().splitlines()
    changed = dict(changes or {})
    kept = [line for line in lines if line.partition("=")[0] not in changed]
    return "\n".join([*kept, *(f"{key}={value}" for key, value in changed.items() if value is not None), ""])


def environment(library: Path, answers: Path) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": str(library), "NVML_SHIM_PROFILE": str(answers)}
