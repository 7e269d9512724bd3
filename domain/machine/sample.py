"""What changes from second to second on a machine: sensors, memory, power, pressure."""

from dataclasses import dataclass, field

from domain.machine.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Stall:
    """The share of the last ten seconds, 0 to 1, in which at least one task (``some``), or every task that
    was not idle (``full``), waited for a resource."""

    some: float
    full: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """``at_s`` is a time of day (epoch), ``monotonic_s`` one to compute with. Of ``hardware`` only what
    changes is read: sensors, memory, and the GPUs that are awake. ``stalls`` is by resource: ``cpu``,
    ``memory``, ``io``; what the kernel does not tell is left out."""

    at_s: float
    monotonic_s: float
    hardware: Hardware = field(default_factory=Hardware)
    stalls: dict[str, Stall] = field(default_factory=dict)
