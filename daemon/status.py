"""The status of the daemon itself."""

import os
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata

from daemon.app import App
from daemon.machine import snapshot
from daemon.state.records import now
from domain.machine.hardware import Problem

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
    gateway: str | None
    catalogue: dict[str, int | str | None]
    launches: dict[str, int]
    problems: tuple[Problem, ...]


async def status(app: App) -> Status:
    machine = await snapshot.displayed(app, fresh=False)
    up = datetime.fromisoformat(now()) - datetime.fromisoformat(app.since)
    return Status(
        version=VERSION,
        pid=os.getpid(),
        since=app.since,
        uptime_s=up.total_seconds(),
        state_dir=str(app.settings.state_dir),
        models_dir=str(app.settings.models_dir),
        socket=str(app.settings.socket),
        gateway=app.gateway.url,
        catalogue={"version": app.known.version, "date": app.known.date, "models": len(app.catalogue)},
        launches=dict(Counter(launch.state.value for launch in app.launches.values())),
        problems=(*_problems(app), *machine.problems),
    )


def _problems(app: App) -> tuple[Problem, ...]:
    rejected = tuple(
        Problem("settings", f"not used: {problem}", problem.hint or "node-ctl config check shows all")
        for problem in app.loaded.problems
    )
    return (
        *rejected,
        *_socket_problems(app),
        *_gateway_problems(app),
        *_catalogue_problems(app),
        *_state_problems(app),
        *app.guards.problems.values(),
    )


def _socket_problems(app: App) -> tuple[Problem, ...]:
    wanted, used = app.settings.socket, app.control.socket
    if used in (None, wanted):
        return ()
    hint = f"it listens there again once {wanted.parent} exists and no other daemon uses it"
    return (Problem("socket", f"{wanted} is gone; node-daemon listens on {used}", hint),)


def _gateway_problems(app: App) -> tuple[Problem, ...]:
    if app.gateway.problem is None:
        return ()
    hint = "engines answer at their own ports meanwhile; set listen to another address, or to off"
    return (Problem("gateway", app.gateway.problem, hint),)


def _catalogue_problems(app: App) -> tuple[Problem, ...]:
    if app.known.problem is None:
        return ()
    return (Problem("catalogue", app.known.problem, "node-ctl catalogue update fetches it again"),)


def _state_problems(app: App) -> tuple[Problem, ...]:
    database = app.store.database
    problems = []
    if (recovered := database.recovered) is not None:
        problems.append(Problem("state", recovered.in_words, "node-ctl doctor --check state says what to do"))
    if (why := database.read_only_because) is not None:
        hint = (
            "free some space on its disk; desired launches are served meanwhile, nothing new can be launched"
        )
        problems.append(Problem("state", f"{app.store.path} can't be written: {why}", hint))
    if (why := app.store.copies.problem) is not None:
        hint = "it is tried again every minute; the copies before are kept"
        problems.append(Problem("state", f"no copy of the state could be made: {why}", hint))
    return tuple(problems)


def summary(app: App) -> str:
    """For systemctl status: ``2 ready, 1 downloading``."""
    counts = Counter(launch.state.value for launch in app.launches.values())
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "no launches"
