"""The state of one launch over time: the current one, whether it is desired, and its history."""

from collections import deque
from dataclasses import dataclass, field

from daemon.events.broadcast import Broadcast
from daemon.launches.state_machine import Event, after
from daemon.state.records import Transition, now
from domain.launches.launch import LaunchState

MAX_HISTORY = 32  # the latest transitions


@dataclass(slots=True)
class Lifecycle:
    """``since`` is the time of the last change of ``state``. ``desired``: it is served again after the end
    of its engine, its daemon or its machine. ``changed`` wakes who waits for another state."""

    state: LaunchState = LaunchState.QUEUED
    desired: bool = True
    since: str = field(default_factory=now)
    history: deque[Transition] = field(default_factory=lambda: deque(maxlen=MAX_HISTORY))
    changed: Broadcast = field(default_factory=Broadcast, repr=False, compare=False)

    def apply(self, event: Event) -> None:
        """Raises: IllegalTransitionError."""
        state = after(self.state, event)
        at = now()
        self.history.append(Transition(at, event.value, state))
        if state is not self.state:
            self.state, self.since = state, at
        self.changed.notify_all()
