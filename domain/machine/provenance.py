"""Where a value of a snapshot comes from, and how reliable it is."""

from dataclasses import dataclass
from enum import StrEnum


class Certainty(StrEnum):
    """READ: stated by the kernel, the firmware or a driver. DERIVED: computed from such statements. MEASURED:
    measured on this machine. RATED: from a data sheet, so an upper bound. ASSUMED: nothing on this machine
    states it, or what does is known to be wrong on some machines; ``Provenance.note`` says which."""

    READ = "read"
    DERIVED = "derived"
    MEASURED = "measured"
    RATED = "rated"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Provenance:
    """``source`` is one of ``sysfs``, ``meminfo``, ``dmi``, ``nvml``, ``kfd``, ``table``, ``measured`` and
    others (docs/hardware.md). ``note`` says which part of the source, and its limitations."""

    source: str
    certainty: Certainty = Certainty.READ
    note: str = ""
