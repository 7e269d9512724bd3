"""The last snapshot of the machine, kept in memory between two snapshots."""

from dataclasses import dataclass, field

from domain.errors import EngineError
from domain.machine.hardware import Hardware


@dataclass(slots=True)
class HardwareCache:
    """The last snapshot and when it began (monotonic seconds); the disks that were low on space then.
    ``failed_dry_runs``: by key, when a dry run of an engine failed (monotonic seconds) and its error."""

    hardware: Hardware | None = None
    began_s: float = 0.0
    low_disks: set[str] = field(default_factory=set)
    failed_dry_runs: dict[str, tuple[float, EngineError]] = field(default_factory=dict)
