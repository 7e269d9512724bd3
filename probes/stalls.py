"""The kernel's pressure stall information (PSI) of the whole machine: Documentation/accounting/psi.rst."""

import re
from pathlib import Path

from domain.sample import Stall
from probes import sysfs

RESOURCES = ("cpu", "memory", "io")
AVERAGE = re.compile(r"^(some|full) avg10=(\d{1,3}(?:\.\d{1,4})?) ", re.MULTILINE)


def probe(root: Path) -> dict[str, Stall]:
    """Empty without PSI: a kernel built without it, or booted with psi=0."""
    found = {name: parse(sysfs.read(root / "proc/pressure" / name) or "") for name in RESOURCES}
    return {name: stall for name, stall in found.items() if stall is not None}


def parse(text: str) -> Stall | None:
    """``some avg10=12.50 avg60=...`` -> 0.125; of cpu older kernels have no line ``full``."""
    shares = {kind: min(1.0, float(percent) / 100) for kind, percent in AVERAGE.findall(text)}
    return Stall(shares["some"], shares.get("full")) if "some" in shares else None
