"""Which of the waiting requests to one engine is next. Pure: no clock, nothing waits here.

Classes are served in their order, and so are, within a class, those clients first who hold the fewest places.
Nobody is passed over for ever: who was passed over often enough is overdue, and overdue ones go first, the
most overdue of them before the others. ``longest_wait`` is the bound that follows.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from domain.priority import Priority

MAX_WAITING = 256  # for one launch
MAX_WAITING_OF_CLIENT = 64


# How often a class with requests that could start may be passed over in a row.
PATIENCE: dict[Priority, int] = {Priority.INTERACTIVE: 1, Priority.BACKGROUND: 4, Priority.BATCH: 16}
CLIENT_PATIENCE = 8  # and a client within its class


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """One request of ``client``: the name of its key, else its address."""

    client: str
    priority: Priority


class _Passed(Protocol):
    passed: int


P = TypeVar("P", bound=_Passed)


@dataclass(slots=True)
class _Client:
    name: str
    tickets: deque[Ticket] = field(default_factory=deque)
    passed: int = 0


@dataclass(slots=True)
class _Class:
    priority: Priority
    clients: dict[str, _Client] = field(default_factory=dict)  # who was served longest ago is first
    passed: int = 0


class QueueFullError(Exception):
    """``of_client``: it is one client who has too many waiting."""

    def __init__(self, waiting: int, *, of_client: bool) -> None:
        super().__init__(f"{waiting} requests wait")
        self.waiting = waiting
        self.of_client = of_client


class Scheduler:
    """Requests to one engine: those that wait, and those that have a place."""

    def __init__(self) -> None:
        self._classes = tuple(_Class(priority) for priority in Priority)
        self._running: Counter[str] = Counter()
        self._running_in: Counter[Priority] = Counter()

    @property
    def running(self) -> int:
        return self._running.total()

    def waiting(self, priority: Priority | None = None) -> int:
        classes = [one for one in self._classes if priority in (None, one.priority)]
        return sum(len(client.tickets) for one in classes for client in one.clients.values())

    def add(self, ticket: Ticket) -> None:
        """Raises: QueueFullError."""
        lines = [one.clients[ticket.client] for one in self._classes if ticket.client in one.clients]
        own = sum(len(client.tickets) for client in lines)
        if own >= MAX_WAITING_OF_CLIENT:
            raise QueueFullError(own, of_client=True)
        if (waiting := self.waiting()) >= MAX_WAITING:
            raise QueueFullError(waiting, of_client=False)
        clients = self._class(ticket.priority).clients
        clients.setdefault(ticket.client, _Client(ticket.client)).tickets.append(ticket)

    def leave(self, ticket: Ticket) -> None:
        """One that waits no longer."""
        chosen = self._class(ticket.priority)
        chosen.clients[ticket.client].tickets.remove(ticket)
        _tidy(chosen, ticket.client)

    def start_next(self, limit: int | None) -> Ticket | None:
        """The next one, which has a place from now on; ``None`` if none can start. ``limit`` is how many run
        at once."""
        if limit is not None and self.running >= limit:
            return None
        able = [one for one in self._classes if one.clients and self._has_place(one.priority, limit)]
        if not able:
            return None
        overdue = [one for one in able if one.passed >= PATIENCE[one.priority]]
        chosen = max(overdue, key=lambda one: one.passed - PATIENCE[one.priority]) if overdue else able[0]
        _pass_over(able, chosen)
        ticket = self._from(chosen)
        self._running[ticket.client] += 1
        self._running_in[ticket.priority] += 1
        return ticket

    def finish(self, ticket: Ticket) -> None:
        """Its place is free again."""
        self._running[ticket.client] -= 1
        self._running += Counter()  # drops those with none
        self._running_in[ticket.priority] -= 1

    def _class(self, priority: Priority) -> _Class:
        return next(one for one in self._classes if one.priority is priority)

    def _has_place(self, priority: Priority, limit: int | None) -> bool:
        return limit is None or self._running_in[priority] < places(priority, limit)

    def _from(self, chosen: _Class) -> Ticket:
        clients = list(chosen.clients.values())
        overdue = [client for client in clients if client.passed >= CLIENT_PATIENCE]
        if overdue:
            client = max(overdue, key=lambda one: one.passed)
        else:
            client = min(clients, key=lambda one: self._running[one.name])
        _pass_over(clients, client)
        ticket = client.tickets.popleft()
        chosen.clients[client.name] = chosen.clients.pop(client.name)  # the last one now
        _tidy(chosen, client.name)
        return ticket


def places(priority: Priority, limit: int) -> int:
    """A batch leaves a place free, so that whoever is at the keyboard need not wait for one to end."""
    return max(1, limit - 1) if priority is Priority.BATCH else limit


def longest_wait(priority: Priority, ahead: int, clients: int) -> int:
    """How many requests may start before one that could start, which has ``ahead`` others of its own client
    before it, while no more than ``clients`` clients wait in its class."""
    in_class = (ahead + 1) * (CLIENT_PATIENCE + clients)
    return in_class * (PATIENCE[priority] + len(Priority))


def _pass_over(able: Sequence[P], chosen: P) -> None:
    for one in able:
        one.passed = 0 if one is chosen else one.passed + 1


def _tidy(chosen: _Class, name: str) -> None:
    if not chosen.clients[name].tickets:
        del chosen.clients[name]
    if not chosen.clients:
        chosen.passed = 0
