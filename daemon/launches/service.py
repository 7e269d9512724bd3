"""Launches for the rest of the daemon: launch, look up and stop one; stop all at the end of the daemon."""

import asyncio
import contextlib
import logging
import os
import signal
from dataclasses import replace

from daemon.app import App
from daemon.events.progress_log import ProgressLog
from daemon.launches import persistence
from daemon.launches.launch import Attempts, Launch
from daemon.launches.names import checked_name, name_of
from daemon.launches.supervisor import supervise
from daemon.state.records import LaunchRequest
from daemon.weights import leases
from domain.anonymize import without_secrets
from domain.errors import BusyError, UnknownLaunchError
from domain.events import EventKind
from domain.launches.launch import LaunchRow, LaunchState
from domain.launches.plan import LaunchOptions
from domain.launches.serving import ALWAYS, NO_CHANGE, ServingChange
from domain.suggestions import did_you_mean

log = logging.getLogger(__name__)

BETWEEN_TRIES = frozenset({LaunchState.DEGRADED, LaunchState.FAILED})
WITH_ENGINE = frozenset({LaunchState.STARTING, LaunchState.READY})


async def launch(
    app: App,
    model: str,
    options: LaunchOptions,
    name: str | None = None,
    *,
    retune: bool = False,
    serving: ServingChange = NO_CHANGE,
) -> tuple[Launch, bool]:
    """The launch, and whether this call began it, once it is stored as desired. If ``model`` is the name of a
    launch, its model and options are used, with ``options`` in place of those that they give.
    With ``retune`` one whose engine runs is restarted; ``serving`` is changed of one that is served, too.

    Raises: as ``get_or_create``, UsageError for a name that is none; StateError where it can't be stored,
    then nothing is begun.
    """
    found, created = get_or_create(app, _request(app, model, options, name))
    if created and found.replaced is not None and not found.replaced.stored:
        found.serving = ALWAYS  # its owner launches what the settings allow to requests
    found.serving = serving.over(found.serving)
    if not created and serving != NO_CHANGE and (error := await persistence.save(app, found)) is not None:
        raise error
    found.retune = found.retune or retune
    if retune and found.state in WITH_ENGINE:
        return await restart(app, found.name)
    return await _accepted(found, created)


async def start(app: App, name: str) -> tuple[Launch, bool]:
    """Serves ``name`` again with its model and options. Raises: as ``get_or_create``, UnknownLaunchError;
    StateError where it can't be stored."""
    return await _accepted(*get_or_create(app, get(app, name).request))


async def restart(app: App, name: str) -> tuple[Launch, bool]:
    """Stops its engine and starts it again; it stays desired. Returns once the next start has begun. One that
    is not served is started. Raises: as ``start``; EngineError where its engine can't be killed."""
    found = get(app, name)
    if found.is_at_rest or found.orders.stop or found.state in BETWEEN_TRIES:
        return await start(app, name)
    await asyncio.shield(found.orders.give_restart())
    return found, True


def begin_for_request(app: App, parked: Launch) -> Launch:
    """Serves ``parked`` again for a request: as it was, never with less; its first failure parks it
    again."""
    return _begin(app, parked.request, parked, Attempts(attended=False, for_request=True))


async def _accepted(found: Launch, created: bool) -> tuple[Launch, bool]:
    if found.accepted is not None:
        await asyncio.shield(found.accepted)
    return found, created


def _request(app: App, model: str, options: LaunchOptions, name: str | None) -> LaunchRequest:
    before = app.launches.get(model) if name is None else None
    if before is None:
        return LaunchRequest(name_of(model) if name is None else checked_name(name), model, options)
    worked = not before.is_at_rest or before.was_served
    return replace(before.request, options=options.over(before.request.options) if worked else options)


def get_or_create(app: App, request: LaunchRequest) -> tuple[Launch, bool]:
    """The launch, and whether this call began it. No await inside: two calls can't both begin it.

    The same request again begins nothing; one that waits for its turn or its next try tries now. Raises:
    BusyError for another request under a name in use.
    """
    existing = app.launches.get(request.name)
    if existing is None or existing.is_at_rest:
        return _begin(app, request, existing), True
    _check_joinable(existing, request)
    if existing.waiting is not None:
        existing.orders.give_retry()
    elif existing.state in BETWEEN_TRIES and not existing.orders.retry:
        existing.progress = ProgressLog()
        existing.orders.give_retry()
    return existing, False


def get(app: App, name: str) -> Launch:
    """Raises: UnknownLaunchError."""
    found = app.launches.get(name)
    if found is not None:
        return found
    tried = app.refused.get(name)
    why = f"; its last try failed: {tried.lines[-1].message}" if tried is not None else ""
    names = sorted(app.launches)
    hint = did_you_mean(name, names) if names else "there are none: node-ctl launch MODEL begins one"
    raise UnknownLaunchError(f"no launch is called {name!r}{why}", hint=hint)


def get_progress(app: App, name: str) -> ProgressLog:
    """The progress of the last try, also of one that was withdrawn. Raises: UnknownLaunchError."""
    refused = app.refused.get(name)
    return get(app, name).progress if name in app.launches or refused is None else refused


async def stop(app: App, name: str, *, forget: bool = False) -> LaunchRow:
    """Nothing of ``name`` runs and it is no longer desired. Callers share one stop, and one that goes away
    does not end it. Nothing of that name can begin before its end.

    Raises: UnknownLaunchError; EngineError where its engine can't be killed, StateError where the stop
    can't be stored.
    """
    found = get(app, name)
    if found.is_at_rest and found.state is LaunchState.STOPPED and not forget and not found.unsaved:
        return await _unpark(app, found) if found.parked else found.row()
    stopped = found.orders.give_stop(forget=forget)
    if found.is_at_rest:
        supervise(app, found)
    row = await asyncio.shield(stopped)
    await leases.renew(app)  # its weights may be removed now, by another daemon, too
    return row


async def _unpark(app: App, found: Launch) -> LaunchRow:
    """It is stopped already, and no request starts it from now on."""
    found.parked = False
    if (error := await persistence.update(app, found, found.state)) is not None:
        raise error
    message = f"{found.name} is stopped: requests do not start it any more"
    await app.events.append(EventKind.STOPPED, message, launch=found.name)
    return found.row()


def kill_all(app: App) -> None:
    """Kills every engine's session without a grace period. Pending stops then return."""
    for one in app.launches.values():
        if one.pid is not None:
            log.warning("killed without grace: launch=%s pid=%d", one.name, one.pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)


async def stop_all(app: App) -> None:
    """Engines end in the reverse order of their launch, and stay desired: the next start brings them back."""
    for one in reversed(tuple(app.launches.values())):
        if one.task is None and one.engine is None:
            continue
        log.info("stopping: launch=%s", one.name)
        one.orders.give_shut_down()
        if one.task is None:
            supervise(app, one)
        if one.task is not None:
            await asyncio.wait({one.task})


def _begin(
    app: App, request: LaunchRequest, existing: Launch | None, attempts: Attempts | None = None
) -> Launch:
    accepted = asyncio.get_running_loop().create_future()
    fresh = Launch(request, attempts=attempts or Attempts(), accepted=accepted)
    if existing is not None:
        fresh.serving, fresh.use = existing.serving, existing.use
        fresh.attempts.failures = existing.attempts.failures
        fresh.replaced, existing.replaced = existing, None
        fresh.engine, existing.engine = existing.engine, None  # one that a bug left behind
        if existing.request == request:
            fresh.plan, fresh.fingerprint = existing.plan, existing.fingerprint
    app.refused.pop(request.name, None)
    app.launches.pop(request.name, None)  # engines stop in the reverse order of this dict
    app.launches[request.name] = fresh
    supervise(app, fresh)
    return fresh


def _check_joinable(existing: Launch, request: LaunchRequest) -> None:
    """Raises: BusyError."""
    stopping = existing.state is LaunchState.STOPPING and not existing.orders.restart
    if existing.orders.stop or stopping:
        stuck = (
            f": process {existing.pid} is still there after SIGKILL" if existing.attempts.last_error else ""
        )
        raise BusyError(f"{request.name} is stopping{stuck}", hint="launch it again once it is stopped")
    if existing.request == request:
        return
    other = "with other options"
    if existing.request.model != request.model:
        other = f"for another model ({without_secrets(existing.request.model)})"
    raise BusyError(
        f"{request.name} is already launched {other}",
        hint=f"node-ctl stop {request.name} first, or give this one another --name",
    )
