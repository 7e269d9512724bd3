"""What the guards of the box do now, as ``node-ctl status`` shows it."""

from dataclasses import dataclass, field

from domain.machine.hardware import Problem


@dataclass(slots=True)
class GuardState:
    """``problems`` by who reports it: ``heat pci:0000:01:00.0``. ``quarantined``: why a GPU is not used, by
    its id, until it returns; forgotten with the daemon."""

    problems: dict[str, Problem] = field(default_factory=dict)
    quarantined: dict[str, str] = field(default_factory=dict)
