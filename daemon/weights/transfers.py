"""Downloads that are under way, and the pulls that owners asked for. Owned by the event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from catalog.local import inventory
from daemon.events.broadcast import Broadcast
from daemon.events.progress_log import ProgressLog
from daemon.state.records import PullRecord, PullRequest, WorkKey, WorkKind, now
from domain.anonymize import without_secrets
from domain.launches.launch import Progress
from domain.models.model import Weights

PROCESSES = 4  # of pulls at a time, with four connections and 40 MB each: more would share the same line
PLANNED_AT_ONCE = 2  # pulls: workers and dry runs are there for launches and plans, too

Subscriber = Callable[[Progress], None]
Key = tuple[str, tuple[str, ...]]


@dataclass(slots=True, eq=False)
class Download:
    """It ends when the last of ``subscribers`` leaves. ``is_urgent``: a launch waits for it."""

    weights: Weights
    subscribers: list[Subscriber] = field(default_factory=list)
    last: Progress | None = None
    is_urgent: bool = False
    is_ending: bool = False
    task: asyncio.Task[Weights] = field(init=False)


class Downloads:
    """Those under way, by the files they fetch, and a queue for their processes."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Download] = {}
        self._queue: list[Download] = []
        self._changed = Broadcast()
        self.running = 0

    @property
    def under_way(self) -> tuple[Download, ...]:
        return tuple(self._by_key.values())

    def get(self, key: Key) -> Download | None:
        """None if it has ended, too."""
        download = self._by_key.get(key)
        return None if download is None or download.task.done() else download

    def add(self, key: Key, download: Download) -> None:
        def remove(_: "asyncio.Task[Weights]") -> None:
            if self._by_key.get(key) is download:
                del self._by_key[key]

        self._by_key[key] = download
        download.task.add_done_callback(remove)

    def make_urgent(self, download: Download) -> None:
        """It waits in the queue no longer."""
        download.is_urgent = True
        self._changed.notify_all()

    def admits(self, download: Download) -> bool:
        """Whether its process may start now: pulls run in the order in which they began, PROCESSES at a
        time. What a launch waits for runs at once."""
        is_next = not self._queue or self._queue[0] is download
        return download.is_urgent or (is_next and self.running < PROCESSES)

    @asynccontextmanager
    async def process_slot(self, download: Download) -> AsyncIterator[None]:
        """Entered once its process may start; left when the process has ended."""
        self._queue.append(download)
        try:
            while not self.admits(download):
                await self._changed.wait()
            self.running += 1
        finally:
            self._queue.remove(download)
            self._changed.notify_all()
        try:
            yield
        finally:
            self.running -= 1
            self._changed.notify_all()


@dataclass(slots=True, eq=False)
class Pull:
    """``weights`` are None until the files that its request comes to are known. ``turn`` is set once it may
    begin: one that is restored waits for others."""

    id: int
    request: PullRequest
    weights: Weights | None = None
    since: str = field(default_factory=now)
    progress: ProgressLog = field(default_factory=ProgressLog)
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def key(self) -> WorkKey:
        return WorkKey(WorkKind.PULL, str(self.id))

    @property
    def record(self) -> PullRecord:
        return PullRecord(self.id, self.request, self.weights)

    @property
    def is_over(self) -> bool:
        return self.progress.ended

    def row(self) -> "PullRow":
        lines = self.progress.lines
        name = None if self.weights is None else inventory.name_of(self.weights)
        model = without_secrets(self.request.model)
        return PullRow(self.id, model, name, self.since, lines[-1] if lines else None)


@dataclass(frozen=True, slots=True)
class PullRow:
    """A pull as the API shows it. ``model`` is what was asked for, ``name`` the weights it came to."""

    id: int
    model: str
    name: str | None
    since: str
    last: Progress | None
