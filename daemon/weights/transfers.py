"""What is on its way to this disk: downloads, and the pulls that owners asked for. Owned by the loop."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.events.progress_log import ProgressLog
from daemon.state.records import PullRequest, now
from domain.launch import LAST_STEPS, Progress
from domain.model import Weights

Tell = Callable[[Progress], None]
Key = tuple[str, tuple[str, ...]]


@dataclass(slots=True, eq=False)
class Download:
    """``tells`` are those who follow it; when the last one leaves, it ends."""

    weights: Weights
    tells: list[Tell] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    last: Progress | None = None
    task: asyncio.Task[Weights] | None = None


@dataclass(slots=True, eq=False)
class Pull:
    """``name`` is that of its weights once they are known."""

    id: int
    request: PullRequest
    since: str = field(default_factory=now)
    name: str | None = None
    track: ProgressLog = field(default_factory=ProgressLog)
    task: asyncio.Task[None] | None = None

    def row(self) -> "PullRow":
        last = self.track.lines[-1] if self.track.lines else None
        return PullRow(self.id, self.request.model, self.name, self.since, last)

    @property
    def is_over(self) -> bool:
        return bool(self.track.lines) and self.track.lines[-1].step in LAST_STEPS


@dataclass(frozen=True, slots=True)
class PullRow:
    """One pull as the API shows it. ``model`` is what was asked for, ``name`` what that came to."""

    id: int
    model: str
    name: str | None
    since: str
    last: Progress | None
