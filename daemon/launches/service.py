"""A wish to have a model served becomes one launch, however often it is wished."""

import asyncio
import re

from catalog import names
from daemon.app import App
from daemon.events.progress_log import ProgressLog
from daemon.launches.launch import Launch
from daemon.launches.supervisor import keep
from daemon.state.records import LaunchRequest
from domain.errors import BusyError, NodeError, UnknownLaunchError, UsageError
from domain.launch import LaunchState
from domain.plan import LaunchOptions
from domain.redact import without_secrets

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
BETWEEN_TRIES = frozenset({LaunchState.DEGRADED, LaunchState.FAILED})


def get_or_create(app: App, model: str, wish: LaunchOptions, name: str | None = None) -> tuple[Launch, bool]:
    """The launch, and whether this call began it. No await inside: two calls can't both begin it.

    The same request again begins nothing; one that waits for its next try tries now. Raises: BusyError
    for another request under a name in use, UsageError for a name that is none.
    """
    request = LaunchRequest(name_of(model) if name is None else checked_name(name), model, wish)
    launch = app.launches.get(request.name)
    if launch is not None and launch.ending is not None:
        raise BusyError(f"{request.name} is stopping", hint="launch it again once it is stopped")
    if launch is not None and launch.task is not None:
        if launch.request != request:
            other = "with other options"
            if launch.request.model != model:
                other = f"for another model ({without_secrets(launch.request.model)})"
            raise BusyError(
                f"{request.name} is already launched {other}",
                hint=f"node-ctl stop {request.name} first, or give this one another --name",
            )
        if launch.state in BETWEEN_TRIES and not launch.retry_now.is_set():
            launch.track = ProgressLog()
            launch.retry_now.set()
        return launch, False
    fresh = Launch(request)
    if launch is not None and launch.request == request:
        fresh.plan, fresh.fingerprint = launch.plan, launch.fingerprint
    app.launches.pop(request.name, None)  # engines stop in the reverse order of this dict
    app.launches[request.name] = fresh
    supervise(app, fresh)
    return fresh, True


def supervise(app: App, launch: Launch) -> None:
    """Gives ``launch`` its task. The app holds it, so that no caller that goes away can end it."""
    launch.task = asyncio.create_task(keep(app, launch), name=f"keep {launch.name}")
    launch.task.add_done_callback(lambda _: setattr(launch, "task", None))


def get(app: App, name: str) -> Launch:
    """Raises: UnknownLaunchError."""
    launch = app.launches.get(name)
    if launch is None:
        known = ", ".join(sorted(app.launches)) or "none"
        raise UnknownLaunchError(f"no launch is called {name!r}", hint=f"there are: {known}")
    return launch


def checked_name(name: str) -> str:
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
    return checked_name(re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:63] or "model")


def _of_hub(model: str) -> str | None:
    """The repository, or the file of it, that ``model`` names: no revision, no page."""
    try:
        named = names.parse(model)
    except NodeError:  # its launch will tell
        return None
    return named.file or named.repo if isinstance(named, names.Repo) else None
