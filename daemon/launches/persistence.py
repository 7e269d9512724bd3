"""Stores launches. One that can't be written is marked as unsaved, and written once the disk has space."""

import asyncio
import logging

from daemon.app import App
from daemon.launches.launch import Launch
from domain.errors import StateError
from domain.events import EventKind
from domain.launches.launch import LaunchState
from launchers.process import logfile

log = logging.getLogger(__name__)

REFUSED_KEPT = 100
NEVER_SERVED_KEPT = 100


async def save(app: App, launch: Launch, state: LaunchState | None = None) -> StateError | None:
    """Stores it, with ``state`` in place of its own if given. Returns the error if that failed."""
    launch.stored = True
    try:
        await app.store.run(app.store.launches.save, launch.record(state))
    except StateError as error:
        log.warning("launch not stored: name=%s %s", launch.name, error)
        launch.unsaved = True
        return error
    launch.unsaved = False
    return None


async def update(app: App, launch: Launch, state: LaunchState) -> StateError | None:
    """As ``save``, but only if the store has its row: a launch that was given up before it had a plan leaves
    none."""
    return await save(app, launch, state) if launch.stored else None


async def withdraw(app: App, launch: Launch) -> None:
    """Restores the store to what it was before ``launch``. A failure is logged, and tried again by
    ``flush``."""
    launch.withdrawn, launch.stored = True, False
    try:
        if launch.replaced is not None and launch.replaced.stored:
            await app.store.run(app.store.launches.save, launch.replaced.record())
        else:
            await app.store.run(app.store.launches.forget, launch.name)
    except StateError as error:
        log.warning("launch not withdrawn: name=%s %s", launch.name, error)
        launch.unsaved = True
    else:
        launch.unsaved = False


def put_back(app: App, launch: Launch) -> None:
    """Removes a launch that was withdrawn, and restores the one that it replaced. The progress of its name
    remains that of this last try."""
    if not launch.withdrawn or app.launches.get(launch.name) is not launch:
        return
    replaced = launch.replaced
    if replaced is None and launch.unsaved:
        return  # until the store has forgotten it
    del app.launches[launch.name]
    if replaced is not None:
        replaced.progress, replaced.unsaved = launch.progress, replaced.unsaved or launch.unsaved
        app.launches[launch.name] = replaced
        return
    app.refused[launch.name] = launch.progress
    while len(app.refused) > REFUSED_KEPT:
        del app.refused[next(iter(app.refused))]


async def flush(app: App) -> None:
    """A scheduled job: stores what could not be stored before."""
    was_read_only = app.store.database.read_only_because is not None
    if was_read_only and not await app.store.run(app.store.database.write_again):
        return
    if was_read_only:
        await app.events.append(EventKind.STATE_WRITABLE, "the state can be written again")
    for launch in tuple(app.launches.values()):
        if launch.unsaved:
            await (save(app, launch) if launch.stored else withdraw(app, launch))
        if launch.is_at_rest:
            put_back(app, launch)
    await _forget_oldest(app)


async def _forget_oldest(app: App) -> None:
    """Of launches that never served, and were stopped or have failed, the latest are kept, so that clients
    that launch without end don't fill the state. What was served once is its owner's to remove."""
    never_served = [
        launch
        for launch in app.launches.values()
        if launch.is_at_rest and not launch.lifecycle.desired and launch.ready is None and not launch.unsaved
    ]
    for launch in sorted(never_served, key=lambda one: one.lifecycle.since)[:-NEVER_SERVED_KEPT]:
        del app.launches[launch.name]  # no await up to the call: nobody launches it meanwhile
        try:
            await app.store.run(app.store.launches.forget, launch.name)
        except StateError as error:
            log.warning("launch not forgotten: name=%s %s", launch.name, error)
        if launch.name not in app.launches:
            await asyncio.to_thread(logfile.remove, app.log_path(launch.name))
