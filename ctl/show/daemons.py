"""Whose daemon answers, where there is more than one: the system service, and one of a user."""

from collections.abc import Sequence

from config.paths import SYSTEM_SOCKET
from ctl.client import Peer, other_daemons
from ctl.terminal import note


def told_others(running: Peer | None, command: str) -> Sequence[Peer]:
    """The other daemons, after a line on standard error for each, with how to ask it with ``command``."""
    if running is None:
        return []
    others = other_daemons(running)
    for other in others:
        note(
            f"this is {owner(running)} ({running.socket}); there is also {owner(other)}:"
            f" node-ctl --socket {other.socket} {command}"
        )
    return others


def as_row(peer: Peer) -> dict[str, object]:
    """For JSON."""
    return {"user": peer.user, "pid": peer.pid, "socket": str(peer.socket)}


def owner(peer: Peer) -> str:
    pid = "" if peer.pid is None else f", pid {peer.pid}"
    kind = "the system service" if peer.socket == SYSTEM_SOCKET else "the node-daemon"
    return f"{kind} of the user {peer.user}{pid}"
