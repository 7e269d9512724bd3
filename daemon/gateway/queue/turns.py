"""The queue of each launch: a request waits for its turn, and gives its place back when its answer ends."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.metrics import Histogram
from daemon.gateway.queue.scheduler import QueueFullError, Scheduler, Ticket
from daemon.launches.launch import Launch
from daemon.resources.throttle import Throttle
from domain.launches.plan import Plan
from domain.priority import Priority

WAIT_BUCKETS_S = (0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
RETRY_S, MAX_RETRY_S = 5, 600  # where it is not known how long a request takes
WEIGHT_OF_LAST = 0.2  # in the mean time that requests hold a place


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose request it is, and of which class."""

    client: str
    priority: Priority = Priority.INTERACTIVE


@dataclass(slots=True)
class Turn:
    """A place at an engine. It is to be given back once: more often does no harm."""

    _queue: "_Queue"
    _ticket: Ticket
    _began_s: float
    _is_held: bool = True

    def give_back(self) -> None:
        if self._is_held:
            self._is_held = False
            self._queue.finish(self._ticket, self._began_s)


class Turns:
    """By the name of a launch. ``waits``: how long requests waited that got their turn."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self.waits: dict[tuple[str, str], Histogram] = defaultdict(lambda: Histogram(WAIT_BUCKETS_S))

    async def take(self, launch: Launch, asker: Asker) -> Turn:
        """Waits for as long as it takes. Raises: GatewayError (429) where too many wait."""
        queue = self._queues.setdefault(launch.name, _Queue())
        queue.follow(launch)
        asked_s = _now_s()
        ticket = Ticket(asker.client, asker.priority)
        await queue.wait(ticket, launch.name)
        began_s = _now_s()
        self.waits[launch.name, asker.priority.value].add(began_s - asked_s)
        return Turn(queue, ticket, began_s)

    def depths(self) -> dict[tuple[str, str], int]:
        return {
            (name, priority.value): queue.scheduler.waiting(priority)
            for name, queue in self._queues.items()
            for priority in Priority
        }


@dataclass(slots=True)
class _Queue:
    scheduler: Scheduler = field(default_factory=Scheduler)
    _waiting: dict[Ticket, "asyncio.Future[None]"] = field(default_factory=dict)
    _plan: Plan | None = None
    _throttle: Throttle = field(default_factory=Throttle)
    _free_at_s: float = 0.0
    _timer: asyncio.TimerHandle | None = None
    _place_held_s: float | None = None

    def follow(self, launch: Launch) -> None:
        """``launch`` may be another one of that name than before, or have another plan."""
        self._plan = launch.plan
        if self._throttle is not launch.throttle:
            self._throttle = launch.throttle
            self._throttle.on_change(self._start_all)

    async def wait(self, ticket: Ticket, name: str) -> None:
        """Raises: GatewayError."""
        try:
            self.scheduler.add(ticket)
        except QueueFullError as full:
            raise self._refusal(full, name) from None
        turn = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        self._start_all()
        try:
            await turn
        except asyncio.CancelledError:  # its client has left
            if self._waiting.pop(ticket, None) is None:
                self.scheduler.finish(ticket)
            else:
                self.scheduler.leave(ticket)
            self._start_all()
            raise

    def finish(self, ticket: Ticket, began_s: float) -> None:
        now_s = _now_s()
        held_s, mean_s = now_s - began_s, self._place_held_s
        self._place_held_s = held_s if mean_s is None else mean_s + WEIGHT_OF_LAST * (held_s - mean_s)
        self._free_at_s = now_s + self._throttle.pause_s
        self.scheduler.finish(ticket)
        self._start_all()

    def _start_all(self) -> None:
        """Whoever can start now; the others once the engine has rested."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        rest_s = min(self._free_at_s - _now_s(), self._throttle.pause_s)
        if rest_s > 0:
            self._timer = asyncio.get_running_loop().call_later(rest_s, self._start_all)
            return
        limit = parallel_limit(self._plan, self._throttle)
        while (ticket := self.scheduler.start_next(limit)) is not None:
            turn = self._waiting.pop(ticket)
            if not turn.done():
                turn.set_result(None)

    def _refusal(self, full: QueueFullError, name: str) -> GatewayError:
        whose = "requests of this client" if full.of_client else "requests"
        limit = parallel_limit(self._plan, self._throttle)
        at_once = "" if limit is None else f", which answers {limit} at once"
        message = f"{full.waiting} {whose} wait for {name}{at_once}: no more are taken until some have ended"
        wait_s = RETRY_S
        if self._place_held_s is not None:
            wait_s = min(MAX_RETRY_S, max(1, round(self._place_held_s / (limit or 1))))
        return GatewayError(Reason.BUSY, message, retry_after_s=wait_s)


def parallel_limit(plan: Plan | None, throttle: Throttle) -> int | None:
    """How many requests the engine computes at once; ``None`` where nobody says."""
    own = None if plan is None else plan.max_requests
    known = [most for most in (own, throttle.parallel) if most is not None and most > 0]
    return min(known) if known else None


def _now_s() -> float:
    return asyncio.get_running_loop().time()
