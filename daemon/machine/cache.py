"""The last snapshot of the machine, kept in memory between two snapshots."""

from dataclasses import dataclass, field

from domain.hardware import Hardware


@dataclass(slots=True)
class HardwareCache:
    """The last snapshot and when it began (monotonic seconds); the disks that were low on space then.
    ``unanswered``: queries that an engine failed to answer, each with its time (monotonic seconds) and
    error."""

    hardware: Hardware | None = None
    began_s: float = 0.0
    low_disks: set[str] = field(default_factory=set)
    unanswered: dict[str, tuple[float, str]] = field(default_factory=dict)
