"""What the guards of the box do now, as ``node-ctl status`` shows it."""

from dataclasses import dataclass, field

from domain.hardware import Problem


@dataclass(slots=True)
class GuardState:
    """By who reports it: ``heat pci:0000:01:00.0``."""

    problems: dict[str, Problem] = field(default_factory=dict)
