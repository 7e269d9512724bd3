"""Keeps the targets as the owner's file has them: it is read again when it has changed."""

import asyncio
import logging
import platform
from datetime import UTC, datetime
from pathlib import Path

from daemon.app import App
from daemon.notifications import targets
from daemon.notifications.policy import Pace, Pending
from daemon.notifications.state import Signature, TargetState
from daemon.state.records import NotificationRecord
from domain.errors import ConfigError, StateError
from domain.events import EventKind
from domain.machine.hardware import Problem
from domain.notifications import Target
from domain.text import printable

log = logging.getLogger(__name__)

SOURCE = "notifications"
NO_FILE: Signature = (0,)
BOX_MAX = 63  # characters, as of a label of the DNS


async def reread(app: App, now: datetime) -> None:
    """Where the file can't be used, the targets of before stay, and that is told. Raises: StateError."""
    state = app.notifications
    async with state.lock:
        signature = await asyncio.to_thread(_signature, app.settings.notify_file)
        if signature == state.file:
            return
        state.box = printable(platform.node())[:BOX_MAX] or "this box"
        try:
            found = await asyncio.to_thread(targets.read, app.settings.notify_file)
        except ConfigError as error:
            state.file, state.problem = signature, error
            app.guards.problems[SOURCE] = Problem(SOURCE, str(error), error.hint)
            await app.events.append(EventKind.SETTINGS_REJECTED, f"not used: {error}")
            return
        await _adopt(app, found, now)
        state.file, state.problem = signature, None
        app.guards.problems.pop(SOURCE, None)


def _signature(path: Path) -> Signature:
    """Of what the file is now. Blocks."""
    try:
        found = path.stat()
    except OSError as error:
        return (*NO_FILE, error.errno or 0)
    return (found.st_ino, found.st_mode, found.st_uid, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


async def _adopt(app: App, found: tuple[Target, ...], now: datetime) -> None:
    state = app.notifications
    names = {target.name for target in found}
    for name in state.targets.keys() - names:
        forget(app, state.targets.pop(name))
    await _keep_only(app, names)
    if not found:
        return
    known = {record.target: record for record in await app.store.run(app.store.notifications.all)}
    last = await app.store.run(app.store.events.before_last, 0)
    for target in found:
        current = state.targets.get(target.name)
        if current is None:
            state.targets[target.name] = await _new(app, target, known.get(target.name), last, now)
        else:
            current.pace = current.pace if current.target.url == target.url else Pace()
            current.target = target


async def _new(
    app: App, target: Target, record: NotificationRecord | None, last: int, now: datetime
) -> TargetState:
    """It goes on where its record ends; without one, with what happens from now on."""
    if record is None:
        record = NotificationRecord(target.name, last, now.astimezone(UTC))
        await save(app, record)
    return TargetState(
        target,
        Pending(min(record.cursor, last)),
        min(record.cursor, last),
        record.digested,
        told={(kind, launch): count for kind, launch, count in record.told},
        last_sent=record.last_sent,
    )


async def _keep_only(app: App, names: set[str]) -> None:
    try:
        await app.store.run(app.store.notifications.keep_only, names)
    except StateError as error:
        log.warning("targets of notifications not removed: %s", error)


async def save(app: App, record: NotificationRecord) -> None:
    """In memory, where it can't be stored: then the next daemon may tell it again."""
    try:
        await app.store.run(app.store.notifications.save, record)
    except StateError as error:
        log.warning("notifications not stored: target=%s %s", record.target, error)


def forget(app: App, state: TargetState) -> None:
    if state.task is not None:
        state.task.cancel()
    app.guards.problems.pop(problem_key(state), None)


def problem_key(state: TargetState) -> str:
    return f"{SOURCE} {state.target.name}"
