"""How the daemon itself is, in one value."""

import os
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata

from daemon.app import Node
from daemon.machine.snapshot import latest
from daemon.state.records import now
from domain.hardware import Problem

VERSION = metadata.version("node-daemon")


@dataclass(frozen=True, slots=True)
class Status:
    version: str
    pid: int
    since: str
    uptime_s: float
    state_dir: str
    models_dir: str
    socket: str
    launches: dict[str, int]
    problems: tuple[Problem, ...]


async def status(node: Node) -> Status:
    machine = await latest(node)
    up = datetime.fromisoformat(now()) - datetime.fromisoformat(node.since)
    return Status(
        version=VERSION,
        pid=os.getpid(),
        since=node.since,
        uptime_s=up.total_seconds(),
        state_dir=str(node.settings.state_dir),
        models_dir=str(node.settings.models_dir),
        socket=str(node.settings.socket),
        launches=dict(Counter(live.state.value for live in node.live.values())),
        problems=machine.problems,
    )


def in_words(node: Node) -> str:
    """For systemctl status: ``2 ready, 1 downloading``."""
    counts = Counter(live.state.value for live in node.live.values())
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "no launches"
