"""Where a value of a snapshot comes from, and how far it can be trusted."""

from dataclasses import dataclass
from enum import StrEnum


class Certainty(StrEnum):
    """READ: the kernel, firmware or a driver states it. DERIVED: a rule makes it of such statements.
    MEASURED: tried out on this machine. RATED: a data sheet's, so what it can be at most. ASSUMED: nothing
    here states it, or what does is known to be wrong on some machines; ``Provenance.note`` says which."""

    READ = "read"
    DERIVED = "derived"
    MEASURED = "measured"
    RATED = "rated"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Provenance:
    """``source`` is who told it: ``sysfs``, ``meminfo``, ``dmi``, ``nvml``, ``kfd``, ``table``, ``measured``
    and others. ``note`` says what of it, and what to beware of."""

    source: str
    certainty: Certainty = Certainty.READ
    note: str = ""
