"""Schedules for the rest of the daemon: add, list and remove them, and run what is due."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from daemon.app import App
from daemon.interruption import is_end_of_task
from daemon.launches import service as launches
from daemon.schedules import times
from daemon.schedules.actions import perform
from daemon.schedules.times import Due
from daemon.state.records import ScheduleRecord
from daemon.weights import service as weights
from domain.errors import NodeError, StateError, UsageError
from domain.events import EventKind
from domain.launches.schedule import Action, Missed, ScheduleRequest, ScheduleRow, ScheduleRun

log = logging.getLogger(__name__)

SCHEDULES_MAX = 100
NAMES = {
    Action.START: (1, 20),
    Action.STOP: (1, 20),
    Action.SWAP: (2, 2),
    Action.PROVE: (1, 20),
    Action.VERIFY: (0, 20),
}
ONLY_AT_A_TIME = frozenset({Action.GC, Action.VERIFY, Action.PROVE})
CLOCK_WAS_WRONG = timedelta(days=2)


async def load(app: App) -> None:
    """Those that the previous daemon had."""
    found = await app.store.run(app.store.schedules.all)
    app.schedules.records = {record.id: record for record in found}
    _open_downloads(app, _now(app))


async def add(app: App, request: ScheduleRequest) -> ScheduleRow:
    """Raises: UsageError, UnknownLaunchError, UnknownModelError; StateError where it can't be stored."""
    _check(app, request)
    if request.action is Action.VERIFY:
        for name in request.names:
            await weights.find(app, name)
    elif request.action is not Action.DOWNLOADS:
        for name in request.names:
            launches.get(app, name)
    now = _now(app)
    record = await app.store.run(app.store.schedules.add, request, now.astimezone(UTC))
    app.schedules.records[record.id] = record
    _open_downloads(app, now)
    return _row(record, now)


def _check(app: App, request: ScheduleRequest) -> None:
    """Raises: UsageError."""
    action, count = request.action, len(request.names)
    least, most = NAMES.get(action, (0, 0))
    if not least <= count <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise UsageError(
            f"{action} takes {wanted} names, not {count}", hint="node-ctl schedule add -h has examples"
        )
    if action in ONLY_AT_A_TIME and request.when.end is not None:
        raise UsageError(f"{action} has no end: give one time of the day", hint='such as "sundays at 4:00"')
    if action is Action.DOWNLOADS and request.when.end is None:
        raise UsageError("downloads need a begin and an end", hint='such as "every night 1:00-6:00"')
    if action is Action.DOWNLOADS and app.settings.download_window is not None:
        raise UsageError(
            f"downloads have the hours {app.settings.download_window} of the setting download_window",
            hint="remove it from the settings, and restart the daemon, to have schedules for them",
        )
    if action is not Action.GC and request.free_bytes is not None:
        raise UsageError(f"--free is for gc, not for {action}")
    if len(set(request.names)) < count:
        raise UsageError(f"{request.in_words} names one twice")
    if len(app.schedules.records) >= SCHEDULES_MAX:
        raise UsageError(f"there are {SCHEDULES_MAX} schedules", hint="node-ctl schedule rm removes one")


def rows(app: App) -> tuple[ScheduleRow, ...]:
    now = _now(app)
    return tuple(_row(record, now) for record in app.schedules.records.values())


async def remove(app: App, number: int) -> ScheduleRow:
    """What of it runs, goes on. Raises: UsageError for one that there is not, StateError."""
    record = app.schedules.records.get(number)
    if record is None:
        raise UsageError(f"there is no schedule {number}", hint="node-ctl schedule list shows them")
    await app.store.run(app.store.schedules.forget, number)
    app.schedules.records.pop(number, None)
    now = _now(app)
    _open_downloads(app, now)
    return _row(record, now)


async def run_due(app: App, now: datetime | None = None) -> None:
    """Begins what is due at ``now``, and returns. What was missed is caught up, once, or skipped."""
    now = _now(app) if now is None else now
    _open_downloads(app, now)
    for record in tuple(app.schedules.records.values()):
        if record.handled - now > CLOCK_WAS_WRONG:
            await _keep(app, replace(record, handled=now.astimezone(UTC)))
        elif (due := times.due(record.request.when, record.handled, now)) is not None:
            await _handle(app, record, due)


async def _handle(app: App, record: ScheduleRecord, due: Due) -> None:
    """Stored before it begins: whatever comes of it, it is not begun a second time."""
    what = f"schedule {record.id} ({record.request.in_words})"
    at = due.at.isoformat(timespec="seconds")
    if due.missed and record.request.missed is Missed.SKIP:
        skipped = f"skipped: missed at {at}"
        await _keep(app, replace(record, handled=due.at, last=ScheduleRun(at, skipped, failed=True)))
        await app.events.append(EventKind.SCHEDULE_SKIPPED, f"{what}: {skipped}")
        return
    if (running := app.schedules.running.get(record.id)) is not None:
        if record.request.action not in (Action.START, Action.SWAP):
            await _keep(app, replace(record, handled=due.at))
            await app.events.append(EventKind.SCHEDULE_SKIPPED, f"{what}: skipped, the one before still runs")
            return
        running.cancel()  # it only waits until the launch is ready
        await asyncio.wait({running})
    record = replace(record, handled=due.at, last=ScheduleRun(at))
    await _keep(app, record)
    task = asyncio.create_task(_run(app, record, due, what), name=what)
    app.schedules.running[record.id] = task


async def _run(app: App, record: ScheduleRecord, due: Due, what: str) -> None:
    failed = True
    try:
        result = await perform(app, record.request, is_end=due.is_end)
        failed = False
    except NodeError as error:
        result = error.in_full
    except BaseException as bug:  # whatever it is must become a result that an owner sees
        if is_end_of_task(bug):
            raise
        log.exception("schedule broke: %s", what)
        result = f"{type(bug).__name__}: {bug}"
    finally:
        if app.schedules.running.get(record.id) is asyncio.current_task():
            del app.schedules.running[record.id]
    late = f" (missed at {due.at.isoformat(timespec='seconds')})" if due.missed else ""
    kind = EventKind.SCHEDULE_FAILED if failed else EventKind.SCHEDULE_DONE
    if (current := app.schedules.records.get(record.id)) is not None:
        await _keep(
            app, replace(current, last=ScheduleRun(due.at.isoformat(timespec="seconds"), result, failed))
        )
    await app.events.append(kind, f"{what}{late}: {result}")


async def stop_all(app: App) -> None:
    """Nothing begins any more, and what runs is broken off."""
    app.schedules.records.clear()
    running = set(app.schedules.running.values())
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


async def _keep(app: App, record: ScheduleRecord) -> None:
    """In memory, where it can't be stored: then the next daemon may do it again."""
    if record.id not in app.schedules.records:
        return
    app.schedules.records[record.id] = record
    try:
        await app.store.run(app.store.schedules.update, record)
    except StateError as error:
        log.warning("schedule not stored: id=%d %s", record.id, error)


def _open_downloads(app: App, now: datetime) -> None:
    """Downloads wait where there are windows for them, and none is open."""
    hours = [
        record.request
        for record in app.schedules.records.values()
        if record.request.action is Action.DOWNLOADS
    ]
    is_open = not hours or any(times.is_open(request.when, now) for request in hours)
    app.schedules.downloads_wait = (
        None if is_open else f"its schedule is {' and '.join(request.words for request in hours)}"
    )


def _row(record: ScheduleRecord, now: datetime) -> ScheduleRow:
    request = record.request
    upcoming = times.following(request.when, now)
    return ScheduleRow(
        id=record.id,
        action=request.action,
        names=request.names,
        words=request.words,
        begin=request.when.begin,
        end=request.when.end,
        missed=request.missed,
        free_bytes=request.free_bytes,
        next=None if upcoming is None else upcoming.isoformat(timespec="seconds"),
        is_open=None if request.when.end is None else times.is_open(request.when, now),
        last=record.last,
    )


def _now(app: App) -> datetime:
    return datetime.now(app.zone)
