"""Level Zero's loader with chosen devices: compiled with gcc, loaded by child processes."""

import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent
LIBRARY = "libze_loader.so.1"


def build(into: Path) -> Path:
    """Compiles the library into a folder, which ``LD_LIBRARY_PATH`` is to name."""
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}"]
    subprocess.run(["gcc", *flags, "-o", into / LIBRARY, FOLDER / "shim.c"], check=True)
    return into
