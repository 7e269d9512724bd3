"""Pulls: weights that an owner wants in advance, chosen as a launch would choose them, then downloaded.

A restarted daemon resumes a pull until its weights are complete, it has failed, or it was cancelled.
"""

import asyncio
import logging

from catalog.local import inventory
from daemon.app import App
from daemon.interruption import is_end_of_task
from daemon.planning.loading import check_loads
from daemon.planning.plan import cached_hardware, plan, resolve_models
from daemon.quarantine.verdict import reason
from daemon.state.records import PullRequest
from daemon.weights import leases, second_files
from daemon.weights.downloads import download
from daemon.weights.transfers import Pull
from domain.anonymize import without_secrets
from domain.errors import DownloadError, NodeError, StateError, UsageError
from domain.events import EventKind
from domain.launches.launch import Progress, Step
from domain.launches.plan import LLAMA_CPP
from domain.models.model import Companion, Weights
from domain.units import gib

log = logging.getLogger(__name__)
MAX_ENDED = 20  # pulls that are over, still listed with their result


async def begin(app: App, request: PullRequest) -> tuple[Pull, bool]:
    """The pull, and whether this call began it: the same request again joins the one under way.

    Returns once it is stored. Raises: StateError, then it has failed."""
    for pull in app.pulls.values():
        if pull.request == request and not pull.is_over:
            pull.turn.set()
            return pull, False
    pull = Pull(max(app.pulls, default=0) + 1, request)
    pull.turn.set()
    saving = asyncio.ensure_future(app.store.run(app.store.pulls.save, pull.record))
    _start(app, pull, saving)  # before the first await: two calls can't both begin it
    await asyncio.shield(saving)
    return pull, True


async def read_pulls(app: App) -> None:
    """Those that the previous daemon did not finish: each is resumed once it has its turn."""
    for record in await app.store.run(app.store.pulls.all):
        pull = Pull(record.id, record.request, record.weights)
        pull.progress.say(Step.RESOLVE, "waits for its turn to be resumed")
        _start(app, pull)


def get(app: App, number: int) -> Pull:
    """Raises: UsageError."""
    pull = app.pulls.get(number)
    if pull is None:
        numbers = ", ".join(map(str, app.pulls)) or "none"
        raise UsageError(f"there is no pull {number}", hint=f"there are: {numbers}")
    return pull


async def cancel(app: App, number: int) -> Pull:
    """Returns when it has ended; what was fetched is kept. One that is over stays as it is.

    Raises: UsageError, StateError. Then it has ended, but comes back with the next daemon."""
    pull = get(app, number)
    if pull.task is None or pull.is_over:
        return pull
    try:
        await app.store.run(app.store.pulls.forget, pull.id)
    finally:
        pull.task.cancel()
        await asyncio.wait({pull.task})
        if not pull.is_over:
            pull.progress.say(Step.STOPPED, "cancelled; the next pull resumes from what is on disk")
            await leases.renew(app)
    return pull


async def stop_all(app: App) -> None:
    """At the end of the daemon: stops all pulls; the next daemon resumes them."""
    tasks = {pull.task for pull in app.pulls.values() if pull.task is not None}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for pull in app.pulls.values():
        pull.progress.close()


def _start(app: App, pull: Pull, saving: "asyncio.Future[None] | None" = None) -> None:
    app.pulls[pull.id] = pull
    over = [other.id for other in app.pulls.values() if other.is_over]
    for number in over[:-MAX_ENDED]:
        del app.pulls[number]
    pull.task = asyncio.create_task(_run(app, pull, saving), name=f"pull {pull.id}")


async def _run(app: App, pull: Pull, saving: "asyncio.Future[None] | None") -> None:
    """Its end is reported once its row is deleted: a daemon that dies in between does not pull it again."""
    error: NodeError | None = None
    step, message = Step.FAILED, ""
    try:
        if saving is not None:
            await asyncio.shield(saving)
        await _until_turn(app, pull)
        step, message = Step.DONE, await _fetch(app, pull)
    except NodeError as failure:  # reported as the pull's progress: this task has no caller
        error, message = failure, str(failure)
    except BaseException as bug:  # whatever it is must become a line that an owner sees
        if is_end_of_task(bug):
            raise
        log.exception("pull broke: model=%s", without_secrets(pull.request.model))
        message = without_secrets(f"{type(bug).__name__}: {bug}")
    finally:
        app.in_flight.end(pull.key)
    try:
        await app.store.run(app.store.pulls.forget, pull.id)
    except StateError as problem:
        log.warning("pull not deleted: id=%d %s", pull.id, problem)
    pull.progress.say(step, message, error=error)
    await leases.renew(app)


async def _until_turn(app: App, pull: Pull) -> None:
    """Raises: NodeError for one that the daemon died of."""
    if (work := app.in_flight.poison.get(pull.key)) is not None:
        error = NodeError(
            f"quarantined: {reason(work)}", hint="ask for it again: node-ctl pull; what was fetched is kept"
        )
        await app.events.append(EventKind.QUARANTINED, f"pull {pull.id} of {pull.request.model}: {error}")
        raise error
    await pull.turn.wait()


async def _fetch(app: App, pull: Pull) -> str:
    """Downloads the weights. Returns the last message of the pull."""
    weights = pull.weights or await _choose(app, pull)
    companions = await _companions(app, pull.request, weights)
    name, size = inventory.name_of(weights), gib(weights.size_bytes)
    if weights.location is None:
        if app.settings.offline:
            raise DownloadError(
                f"{name} is not complete on this disk, and offline is set",
                hint="set offline to false to fetch it",
            )
        pull.progress.say(Step.DOWNLOAD, f"fetching {name}, {size}")
        await app.in_flight.begin(pull.key, f"beginning the download of {name}")

        def follow(progress: Progress) -> None:
            app.in_flight.rest(pull.key)  # a process of its own fetches
            pull.progress.add(progress)

        weights = await download(app, weights, follow, pull.request.policy)
    lacking = await asyncio.to_thread(second_files.missing, weights, companions)
    if lacking is not None and not app.settings.offline:
        pull.progress.say(Step.DOWNLOAD, f"fetching its {lacking.quant}, {gib(lacking.size_bytes)}")
        await download(app, lacking, pull.progress.add, pull.request.policy)
    return f"{name} is on disk, {size}: {weights.location}"


async def _companions(app: App, request: PullRequest, weights: Weights) -> tuple[Companion, ...]:
    """What a launch would use beside ``weights``; where nothing fits here, or no projector is here that a
    plan could take, a projector all the same."""
    if not weights.beside:
        return ()
    projector = () if request.options.no_mmproj else second_files.projector(weights)
    try:
        chosen = await plan(app, request.model, request.options)
    except NodeError as error:
        log.info("no plan for a pull: model=%s why=%s", without_secrets(request.model), error)
        return projector
    used = second_files.used(weights, chosen.flags)
    return used if second_files.projector(chosen.weights) else (*used, *projector)


async def _choose(app: App, pull: Pull) -> Weights:
    """The weights that the request resolves to; stored, so that a restart continues with the same ones."""
    model = without_secrets(pull.request.model)
    if app.pull_planning.locked():
        pull.progress.say(Step.RESOLVE, f"queued: other pulls are resolved before {model}")
    async with app.pull_planning:
        await app.in_flight.begin(pull.key, f"choosing the files of {model}")
        pull.progress.say(Step.RESOLVE, f"looking for {model}")
        weights = pull.weights = await _resolve(app, pull.request)
    if weights.location is None:
        await app.store.run(app.store.pulls.save, pull.record)
    return weights


async def _resolve(app: App, request: PullRequest) -> Weights:
    """The only choice that the name leaves, whether it fits here or not; else what a launch would choose.

    Raises: EngineRefusedError for one that no engine here loads."""
    box = await cached_hardware(app)
    models = await resolve_models(app, request.model, request.options, (box,), complete=True)
    choices = {model.weights for model in models}
    if len(choices) == 1:
        if models[0].engine == LLAMA_CPP and models[0].weights.location is None:
            await check_loads(app, request.model, models[0], box)
        return choices.pop()
    chosen = (await plan(app, request.model, request.options)).weights
    same = (one for one in choices if (one.repo, one.files) == (chosen.repo, chosen.files))
    return next(same, chosen)
