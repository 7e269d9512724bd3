"""Weights that an owner asked for ahead: found, chosen as a launch would, fetched. They come back after a
restart of the daemon until they are here, have failed, or were cancelled."""

import asyncio
import logging

from catalog.local import inventory
from daemon.app import Node
from daemon.planning.plan import glance, plan, resolved
from daemon.state.records import PullRequest
from daemon.weights.downloads import arrived
from daemon.weights.transfers import Pull
from domain.errors import DownloadError, NodeError, StateError, UsageError
from domain.launch import Step
from domain.model import Weights
from domain.redact import without_secrets
from domain.units import gib

log = logging.getLogger(__name__)
KEPT = 20  # pulls that are over, for who asks how they ended


def begin(node: Node, request: PullRequest) -> tuple[Pull, bool]:
    """The pull, and whether this call began it: the same request again joins the one under way."""
    for pull in node.pulls.values():
        if pull.request == request and not pull.is_over:
            return pull, False
    pull = Pull(max(node.pulls, default=0) + 1, request)
    node.pulls[pull.id] = pull
    for old in [one.id for one in node.pulls.values() if one.is_over][:-KEPT]:
        del node.pulls[old]
    pull.task = asyncio.create_task(_run(node, pull), name=f"pull {pull.id}")
    return pull, True


async def restore(node: Node) -> None:
    """Those that the last daemon did not finish go on."""
    for request in await asyncio.to_thread(node.store.pulls):
        begin(node, request)


def numbered(node: Node, number: int) -> Pull:
    """Raises: UsageError."""
    pull = node.pulls.get(number)
    if pull is None:
        known = ", ".join(map(str, node.pulls)) or "none"
        raise UsageError(f"there is no pull {number}", hint=f"there are: {known}")
    return pull


async def cancel(node: Node, number: int) -> Pull:
    """Nobody waits for it any more; what is here is kept. One that is over stays as it is."""
    pull = numbered(node, number)
    if pull.task is not None and not pull.is_over:
        await asyncio.to_thread(node.store.drop_pull, pull.request)
        await _end(pull)
        pull.track.say(Step.STOPPED, "cancelled: what is here is kept, pull it again to go on")
    return pull


async def quiet(node: Node) -> None:
    """At the daemon's end: they stop, and come back with the next one."""
    for pull in tuple(node.pulls.values()):
        await _end(pull)
        pull.track.close()


async def _end(pull: Pull) -> None:
    if pull.task is not None:
        pull.task.cancel()
        await asyncio.wait({pull.task})


async def _run(node: Node, pull: Pull) -> None:
    """Its last line is told when it is forgotten: a daemon that ends then does not pull it again."""
    error: NodeError | None = None
    step, told = Step.FAILED, ""
    try:
        await asyncio.to_thread(node.store.keep_pull, pull.request)
        step, told = Step.DONE, await _fetch(node, pull)
    except NodeError as failure:  # told as the pull's progress: this task has no caller
        error, told = failure, str(failure)
    except Exception as bug:  # nobody awaits this task: a bug must become a line that an owner sees
        log.exception("pull broke: model=%s", without_secrets(pull.request.model))
        told = f"{type(bug).__name__}: {bug}"
    try:
        await asyncio.to_thread(node.store.drop_pull, pull.request)
    except StateError as problem:
        log.warning("pull is not forgotten: %s", problem)
    pull.track.say(step, told, error=error)


async def _choice(node: Node, request: PullRequest) -> Weights:
    """What the name leaves no choice about is fetched whether it fits here or not; else what a launch
    would take."""
    box = await glance(node)
    found = {one.weights for one in await resolved(node, request.model, request.wish, (box,))}
    if len(found) == 1:
        return found.pop()
    return (await plan(node, request.model, request.wish)).weights


async def _fetch(node: Node, pull: Pull) -> str:
    """What it came to, in words."""
    model = without_secrets(pull.request.model)
    pull.track.say(Step.RESOLVE, f"looking for {model}")
    weights = await _choice(node, pull.request)
    pull.name = inventory.name_of(weights)
    size = gib(weights.size_bytes)
    if weights.location is None:
        if node.settings.offline:
            raise DownloadError(
                f"{pull.name} is not complete on this disk, and offline is set",
                hint="set offline to false to fetch it",
            )
        pull.track.say(Step.DOWNLOAD, f"fetching {pull.name}, {size}")
        weights = await arrived(node, weights, pull.track.add, pull.request.terms)
    return f"{pull.name} is here, {size}: {weights.location}"
