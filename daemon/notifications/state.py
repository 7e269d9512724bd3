"""The targets of notifications, and how far each of them is: what the daemon knows of it while it runs."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from daemon.notifications.policy import Pace, Pending, Told
from domain.errors import ConfigError
from domain.notifications import Target

Signature = tuple[int, ...]


@dataclass(slots=True)
class TargetState:
    """``pending`` are events after ``cursor`` and those that ``task`` sends. ``unstored`` is the number of
    the last event that counts though the disk had no room for it. ``problem`` is why the last message could
    not be sent."""

    target: Target
    pending: Pending
    cursor: int
    digested: datetime
    told: Told = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    unstored: int = 0
    last_sent: str | None = None
    problem: str | None = None
    task: "asyncio.Task[None] | None" = None


@dataclass(slots=True)
class NotifyState:
    """``file`` tells whether the file of targets has changed, ``None`` before it is read; ``problem`` is why
    it is not used, and the targets of before are. ``box`` is the name of this machine."""

    targets: dict[str, TargetState] = field(default_factory=dict)
    file: Signature | None = None
    problem: ConfigError | None = None
    box: str = ""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
