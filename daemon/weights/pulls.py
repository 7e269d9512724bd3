"""Weights that an owner asked for ahead: found, chosen as a launch would, fetched. They come back after a
restart of the daemon until they are here, have failed, or were cancelled."""

import asyncio
import logging

from catalog.local import inventory
from daemon.app import App
from daemon.planning.plan import cached_hardware, plan, resolve_models
from daemon.state.records import PullRequest
from daemon.weights.downloads import download
from daemon.weights.transfers import Pull
from domain.errors import DownloadError, NodeError, StateError, UsageError
from domain.launch import Step
from domain.model import Weights
from domain.redact import without_secrets
from domain.units import gib

log = logging.getLogger(__name__)
KEPT = 20  # pulls that are over, for who asks how they ended


def begin(app: App, request: PullRequest) -> tuple[Pull, bool]:
    """The pull, and whether this call began it: the same request again joins the one under way."""
    for pull in app.pulls.values():
        if pull.request == request and not pull.is_over:
            return pull, False
    pull = Pull(max(app.pulls, default=0) + 1, request)
    app.pulls[pull.id] = pull
    for old in [one.id for one in app.pulls.values() if one.is_over][:-KEPT]:
        del app.pulls[old]
    pull.task = asyncio.create_task(_run(app, pull), name=f"pull {pull.id}")
    return pull, True


async def restore(app: App) -> None:
    """Those that the last daemon did not finish go on."""
    for request in await app.store.run(app.store.pulls.all):
        begin(app, request)


def get(app: App, number: int) -> Pull:
    """Raises: UsageError."""
    pull = app.pulls.get(number)
    if pull is None:
        known = ", ".join(map(str, app.pulls)) or "none"
        raise UsageError(f"there is no pull {number}", hint=f"there are: {known}")
    return pull


async def cancel(app: App, number: int) -> Pull:
    """Nobody waits for it any more; what is here is kept. One that is over stays as it is."""
    pull = get(app, number)
    if pull.task is not None and not pull.is_over:
        await app.store.run(app.store.pulls.forget, pull.request)
        await _end(pull)
        pull.track.say(Step.STOPPED, "cancelled: what is here is kept, pull it again to go on")
    return pull


async def stop_all(app: App) -> None:
    """At the daemon's end: they stop, and come back with the next one."""
    for pull in tuple(app.pulls.values()):
        await _end(pull)
        pull.track.close()


async def _end(pull: Pull) -> None:
    if pull.task is not None:
        pull.task.cancel()
        await asyncio.wait({pull.task})


async def _run(app: App, pull: Pull) -> None:
    """Its last line is told when it is forgotten: a daemon that ends then does not pull it again."""
    error: NodeError | None = None
    step, told = Step.FAILED, ""
    try:
        await app.store.run(app.store.pulls.save, pull.request)
        step, told = Step.DONE, await _fetch(app, pull)
    except NodeError as failure:  # told as the pull's progress: this task has no caller
        error, told = failure, str(failure)
    except Exception as bug:  # nobody awaits this task: a bug must become a line that an owner sees
        log.exception("pull broke: model=%s", without_secrets(pull.request.model))
        told = f"{type(bug).__name__}: {bug}"
    try:
        await app.store.run(app.store.pulls.forget, pull.request)
    except StateError as problem:
        log.warning("pull is not forgotten: %s", problem)
    pull.track.say(step, told, error=error)


async def _choice(app: App, request: PullRequest) -> Weights:
    """What the name leaves no choice about is fetched whether it fits here or not; else what a launch
    would take."""
    box = await cached_hardware(app)
    found = {one.weights for one in await resolve_models(app, request.model, request.options, (box,))}
    if len(found) == 1:
        return found.pop()
    return (await plan(app, request.model, request.options)).weights


async def _fetch(app: App, pull: Pull) -> str:
    """What it came to, in words."""
    model = without_secrets(pull.request.model)
    pull.track.say(Step.RESOLVE, f"looking for {model}")
    weights = await _choice(app, pull.request)
    pull.name = inventory.name_of(weights)
    size = gib(weights.size_bytes)
    if weights.location is None:
        if app.settings.offline:
            raise DownloadError(
                f"{pull.name} is not complete on this disk, and offline is set",
                hint="set offline to false to fetch it",
            )
        pull.track.say(Step.DOWNLOAD, f"fetching {pull.name}, {size}")
        weights = await download(app, weights, pull.track.add, pull.request.terms)
    return f"{pull.name} is here, {size}: {weights.location}"
