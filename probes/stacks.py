"""Versions of the compute stacks, from files: no child process, no library loaded."""

import re
from collections.abc import Iterator
from pathlib import Path

from probes import files

VERSION = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4}){1,3}")
DEFINED = re.compile(r"#define\s+ROCM_VERSION_(MAJOR|MINOR|PATCH)\s+([0-9]{1,4})")

# TheRock (7.14 and later) has its version in "core"; distributions put ROCm below /usr without .info
INFO = (".info/version", "core/.info/version")
HEADERS = (
    "opt/rocm/include/rocm-core/rocm_version.h",
    "usr/include/rocm-core/rocm_version.h",
    "usr/include/rocm_version.h",
)


def rocm(root: Path) -> str | None:
    """``"7.1.0"``, the newest where several are installed and /opt/rocm names none."""
    for path in _info_files(root):
        found = VERSION.match(files.read(path) or "")
        if found:
            return found[0]
    return next((version for name in HEADERS if (version := parse_header(files.read(root / name)))), None)


def parse_header(text: str | None) -> str | None:
    """The three numbers of ``rocm_version.h``."""
    parts = dict(DEFINED.findall(text or ""))
    return ".".join(parts[part] for part in ("MAJOR", "MINOR", "PATCH")) if len(parts) == 3 else None


def _info_files(root: Path) -> Iterator[Path]:
    """/opt/rocm may be an absolute link that leads out of a root: the numbered folders follow it."""
    opt = root / "opt"
    numbered = [opt / name for name in reversed(files.entries(opt)) if name.startswith("rocm-")]
    cores = [
        opt / "rocm" / name for name in reversed(files.entries(opt / "rocm")) if name.startswith("core-")
    ]
    for folder in (opt / "rocm", *numbered, *cores):
        yield from (folder / name for name in INFO)
