"""How long tasks have waited for a CPU: the kernel's pressure stall information (PSI)."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from probes import sysfs
from probes.memory import cgroup
from probes.stalls import parse_averages

# "some" is the time in which at least one task was runnable and did not run, in microseconds since boot or
# since the group was made. Source: Linux, Documentation/accounting/psi.rst
_TOTAL = re.compile(r"^some .*\btotal=([0-9]{1,20})\b", re.MULTILINE)
MIN_WINDOW_S = 0.02  # of shorter ones the time of reading is a good part


@dataclass(frozen=True, slots=True)
class Pressure:
    """``stalled_s``: for how long so far some task waited for a CPU; ``at_s``: a monotonic time;
    ``last_minute_share``: of the last 60 s, 0 to 1, as the kernel averages it."""

    stalled_s: float
    at_s: float
    last_minute_share: float | None = None

    def stalled_share(self, since: "Pressure") -> float | None:
        """Of the time since then, 0 to 1; ``None`` if that was too short to say."""
        elapsed_s = self.at_s - since.at_s
        if elapsed_s < MIN_WINDOW_S:
            return None
        return min(1.0, max(0.0, (self.stalled_s - since.stalled_s) / elapsed_s))


def probe(root: Path) -> Pressure | None:
    """Of this process's own control group, which engines are in too; where that does not tell, of the whole
    machine. ``None`` without PSI: a kernel built without it, or booted with psi=0."""
    group = cgroup.own_group(root)
    paths = [*([group / "cpu.pressure"] if group else []), root / "proc/pressure/cpu"]
    for path in paths:
        text = sysfs.read(path) or ""
        stalled_s = parse_stalled_s(text)
        if stalled_s is not None:
            return Pressure(stalled_s, time.monotonic(), parse_last_minute_share(text))
    return None


def parse_stalled_s(text: str) -> float | None:
    """``some avg10=0.12 avg60=0.05 avg300=0.01 total=1500000`` -> 1.5."""
    match = _TOTAL.search(text)
    return None if match is None else int(match[1]) / 1e6


def parse_last_minute_share(text: str) -> float | None:
    """``some avg10=0.12 avg60=5.50 avg300=0.01 total=1500000`` -> 0.055."""
    some = parse_averages(text).get("some")
    return None if some is None else some.last_minute
