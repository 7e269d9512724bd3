"""The kernel's pressure stall information (PSI) of the machine: Documentation/accounting/psi.rst."""

import re
from dataclasses import dataclass
from pathlib import Path

from domain.machine.sample import Stall
from probes import sysfs

RESOURCES = ("cpu", "memory", "io")
PERCENT = r"([0-9]{1,3}(?:\.[0-9]{1,4})?)"
AVERAGES = re.compile(rf"^(some|full) avg10={PERCENT}(?: avg60={PERCENT})? ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Averages:
    """The shares, 0 to 1, of the last ten seconds and of the last minute."""

    last_10_s: float
    last_minute: float | None = None


def probe(root: Path) -> dict[str, Stall]:
    """Empty without PSI: a kernel built without it, or booted with psi=0."""
    found = {name: parse(sysfs.read(root / "proc/pressure" / name) or "") for name in RESOURCES}
    return {name: stall for name, stall in found.items() if stall is not None}


def parse(text: str) -> Stall | None:
    """``some avg10=12.50 avg60=...`` -> 0.125; of cpu older kernels have no line ``full``."""
    found = parse_averages(text)
    some, full = found.get("some"), found.get("full")
    return None if some is None else Stall(some.last_10_s, None if full is None else full.last_10_s)


def parse_averages(text: str) -> dict[str, Averages]:
    """By ``some`` and ``full``."""
    return {
        kind: Averages(_share(last_10_s), _share(last_minute) if last_minute else None)
        for kind, last_10_s, last_minute in AVERAGES.findall(text)
    }


def _share(percent: str) -> float:
    return min(1.0, float(percent) / 100)
