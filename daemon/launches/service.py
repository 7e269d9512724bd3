"""A wish to have a model served becomes one launch, however often it is wished."""

import asyncio
import re

from catalog import names
from daemon.app import Node
from daemon.events.progress_log import Track
from daemon.launches.launch import Live
from daemon.launches.supervisor import keep
from daemon.state.records import Request
from domain.errors import BusyError, NodeError, UnknownLaunchError, UsageError
from domain.launch import LaunchState
from domain.plan import Wish
from domain.redact import without_secrets

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
BETWEEN_TRIES = frozenset({LaunchState.DEGRADED, LaunchState.FAILED})


def begin(node: Node, model: str, wish: Wish, name: str | None = None) -> tuple[Live, bool]:
    """The launch, and whether this call began it. No await inside: two calls can't both begin it.

    The same request again begins nothing; one that waits for its next try tries now. Raises: BusyError
    for another request under a name in use, UsageError for a name that is none.
    """
    request = Request(name_of(model) if name is None else checked(name), model, wish)
    live = node.live.get(request.name)
    if live is not None and live.ending is not None:
        raise BusyError(f"{request.name} is stopping", hint="launch it again once it is stopped")
    if live is not None and live.task is not None:
        if live.request != request:
            other = "with other options"
            if live.request.model != model:
                other = f"for another model ({without_secrets(live.request.model)})"
            raise BusyError(
                f"{request.name} is already launched {other}",
                hint=f"node-ctl stop {request.name} first, or give this one another --name",
            )
        if live.state in BETWEEN_TRIES and not live.retry_now.is_set():
            live.track = Track()
            live.retry_now.set()
        return live, False
    fresh = Live(request)
    if live is not None and live.request == request:
        fresh.plan, fresh.fingerprint = live.plan, live.fingerprint
    node.live.pop(request.name, None)  # engines stop in the reverse order of this dict
    node.live[request.name] = fresh
    supervise(node, fresh)
    return fresh, True


def supervise(node: Node, live: Live) -> None:
    """Gives ``live`` its task. The node holds it, so that no caller that goes away can end it."""
    live.task = asyncio.create_task(keep(node, live), name=f"keep {live.name}")
    live.task.add_done_callback(lambda _: setattr(live, "task", None))


def named(node: Node, name: str) -> Live:
    """Raises: UnknownLaunchError."""
    live = node.live.get(name)
    if live is None:
        known = ", ".join(sorted(node.live)) or "none"
        raise UnknownLaunchError(f"no launch is called {name!r}", hint=f"there are: {known}")
    return live


def checked(name: str) -> str:
    """Raises: UsageError for what can't be the name of a file, a unit and a model at once."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be the name of a launch",
            hint="lower-case letters, digits, '.', '_' and '-', at most 63 of them",
        )
    return name


def name_of(model: str) -> str:
    """``owner/Some-Model-GGUF:Q4_K_M`` -> ``some-model-gguf``, ``/m/tiny.gguf`` -> ``tiny``."""
    model = _of_hub(model) or without_secrets(model).removesuffix("?...")
    last = model.rstrip("/").rsplit("/", 1)[-1].rsplit("#", 1)[-1]
    stem = last.lower().removesuffix(".gguf").split(":")[0].split("@")[0]
    return checked(re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:63] or "model")


def _of_hub(model: str) -> str | None:
    """The repository, or the file of it, that ``model`` names: no revision, no page."""
    try:
        named = names.parse(model)
    except NodeError:  # its launch will tell
        return None
    return named.file or named.repo if isinstance(named, names.Repo) else None
