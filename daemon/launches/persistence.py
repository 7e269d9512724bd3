"""Launches in the store. A launch that can't be written is marked, and written once the disk has room."""

import logging

from daemon.app import App
from daemon.launches.launch import Launch
from domain.errors import StateError
from domain.launch import LaunchState

log = logging.getLogger(__name__)


async def save(app: App, launch: Launch, state: LaunchState | None = None) -> StateError | None:
    """Stores it as it is, or as it will be in ``state``. Why that failed, ``None`` if it did not."""
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
    """As ``save``, for a launch that the store has a row of: one that was given up before it had a plan
    leaves none."""
    return await save(app, launch, state) if launch.stored else None


async def withdraw(app: App, launch: Launch) -> None:
    """The store is as if ``launch`` had never been asked for. A failure is logged, and tried again."""
    launch.stored = False
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


async def flush(app: App) -> None:
    """What could not be stored before, tried again: a job of the schedule."""
    was_read_only = app.store.database.read_only_because is not None
    if was_read_only and not await app.store.run(app.store.database.write_again):
        return
    if was_read_only:
        await app.events.append("state_writable", "the state can be written again")
    for launch in tuple(app.launches.values()):
        if launch.unsaved:
            await (save(app, launch) if launch.stored else withdraw(app, launch))
