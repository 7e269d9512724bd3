"""The state of one launch over time: what it is, whether it is desired, and how it came there."""

from collections import deque
from dataclasses import dataclass, field

from daemon.launches.state_machine import Event, after
from daemon.state.records import Transition, now
from domain.launch import LaunchState

HISTORY = 32  # transitions kept for who asks how it came to this


@dataclass(slots=True)
class Lifecycle:
    """``since`` is the time of the last change of ``state``. ``desired``: it is served again whatever happens
    to its engine, its daemon or its machine."""

    state: LaunchState = LaunchState.QUEUED
    desired: bool = True
    since: str = field(default_factory=now)
    history: deque[Transition] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def apply(self, event: Event) -> None:
        """Raises: IllegalTransitionError."""
        state = after(self.state, event)
        at = now()
        self.history.append(Transition(at, event.value, state))
        if state is not self.state:
            self.state, self.since = state, at
