"""The states of a launch, and which event leads from one to the next. Pure: no I/O, no clock, no log."""

from collections.abc import Mapping
from enum import StrEnum

from domain.launches.launch import LaunchState


class Event(StrEnum):
    """What happens to a launch. Only its supervisor applies them."""

    ATTEMPT = "attempt"  # a start begins
    DOWNLOAD = "download"  # weights are missing and are fetched
    START = "start"  # an engine process is started, or one that outlived its daemon is checked
    ANSWER = "answer"  # the engine answered the known question
    EXIT = "exit"  # the engine that served ended unasked
    RETRY = "retry"  # the attempt failed, another one follows
    LOOP = "loop"  # as RETRY, after too many failures in a row
    GIVE_UP = "give_up"  # the attempt failed, none follows
    STOP = "stop"  # its owner, or the end of the daemon, wants it stopped; or it is restarted
    STUCK = "stuck"  # its engine can't be killed
    GONE = "gone"  # nothing of it runs any more


class IllegalTransitionError(RuntimeError):
    """A bug: the event can't happen in that state."""

    def __init__(self, state: LaunchState, event: Event) -> None:
        super().__init__(f"a launch that is {state} can't take the event {event}")


_ANY_TIME = {Event.STOP: LaunchState.STOPPING, Event.STUCK: LaunchState.STOPPING}
_FAILED = {
    Event.RETRY: LaunchState.DEGRADED,
    Event.LOOP: LaunchState.FAILED,
    Event.GIVE_UP: LaunchState.FAILED,
}

TRANSITIONS: Mapping[LaunchState, Mapping[Event, LaunchState]] = {
    LaunchState.QUEUED: {
        Event.ATTEMPT: LaunchState.QUEUED,
        Event.DOWNLOAD: LaunchState.DOWNLOADING,
        Event.START: LaunchState.STARTING,
        **_FAILED,
        **_ANY_TIME,
    },
    LaunchState.DOWNLOADING: {Event.START: LaunchState.STARTING, **_FAILED, **_ANY_TIME},
    LaunchState.STARTING: {
        Event.DOWNLOAD: LaunchState.DOWNLOADING,  # a trial led to another plan
        Event.START: LaunchState.STARTING,
        Event.ANSWER: LaunchState.READY,
        **_FAILED,
        **_ANY_TIME,
    },
    LaunchState.READY: {Event.EXIT: LaunchState.DEGRADED, **_ANY_TIME},
    LaunchState.DEGRADED: {Event.ATTEMPT: LaunchState.QUEUED, **_FAILED, **_ANY_TIME},
    LaunchState.FAILED: {Event.ATTEMPT: LaunchState.QUEUED, **_ANY_TIME},
    LaunchState.STOPPING: {
        Event.ATTEMPT: LaunchState.QUEUED,
        Event.GONE: LaunchState.STOPPED,
        **_FAILED,
        **_ANY_TIME,
    },
    LaunchState.STOPPED: {Event.STOP: LaunchState.STOPPING},
}


def after(state: LaunchState, event: Event) -> LaunchState:
    """Raises: IllegalTransitionError."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransitionError(state, event) from None
