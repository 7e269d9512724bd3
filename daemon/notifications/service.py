"""Notifications for the rest of the daemon: look what is to be sent, list the targets, test them.

The queue is the event log itself: each target has a cursor in it that is stored once a message is out, so a
restart of the daemon neither repeats nor loses anything.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime

from daemon.app import App
from daemon.notifications import message, policy
from daemon.notifications.policy import Pending
from daemon.notifications.redaction import shown
from daemon.notifications.registry import SOURCE, problem_key, reread, save
from daemon.notifications.sending import deliver
from daemon.notifications.state import TargetState
from daemon.state.records import Event, NotificationRecord
from domain.errors import UsageError
from domain.events import EventKind
from domain.machine.hardware import Problem
from domain.notifications import Delivery, TargetRow

log = logging.getLogger(__name__)

PAGE = 100  # events in memory at a time
STORED_EVERY = 500  # events that a target is not sent, by their ids


async def look(app: App, now: datetime | None = None) -> None:
    """Begins to send what is due at ``now``, and returns. Raises: StateError where the log can't be read."""
    now = datetime.now(app.zone) if now is None else now
    await reread(app, now)
    for state in tuple(app.notifications.targets.values()):
        await _read_events(app, state)
        if policy.is_of_future(state.digested, now):
            state.digested = now.astimezone(UTC)
        if state.task is None and policy.is_due(state.target, state.pending, state.pace, state.digested, now):
            name = f"notification to {state.target.name}"
            state.task = asyncio.create_task(_send(app, state, now), name=name)


async def stop_all(app: App) -> None:
    """What is not sent yet is for the next daemon."""
    sending = {state.task for state in app.notifications.targets.values() if state.task is not None}
    app.notifications.targets.clear()
    for task in sending:
        task.cancel()
    if sending:
        await asyncio.wait(sending)


async def _read_events(app: App, state: TargetState) -> None:
    """What came since the last look."""
    while True:
        events = await app.store.run(app.store.events.since, state.pending.up_to, PAGE)
        if events and state.pending.up_to:
            state.pending.missing += events[0].id - state.pending.up_to - 1
        for event in events:
            _consider(state, event)
            state.pending.up_to = event.id
        if len(events) < PAGE:
            break
    for number, event in app.events.unstored:
        if number > state.unstored:
            _consider(state, event)
            state.unstored = number
    is_idle = not state.pending.total and state.task is None
    if is_idle and state.pending.up_to - state.cursor >= STORED_EVERY:
        state.cursor = state.pending.up_to
        await save(app, _record(state))


def _consider(state: TargetState, event: Event) -> None:
    if policy.wants(state.target, event, state.told):
        policy.remember(event, state.told)
        state.pending.add(event)


async def _send(app: App, state: TargetState, now: datetime) -> None:
    target, sent = state.target, state.pending
    make = message.of_events if target.digest is None else message.digest
    text = make(app.notifications.box, sent)
    due = policy.digest_due(target, state.digested, now)
    record = _record(state, cursor=sent.up_to, digested=due, last_sent=_utc(now))
    state.pending = Pending(sent.up_to)
    try:
        state.problem = await deliver(app.adapters.workers, target.name, target.url, text)
        if state.problem is None:
            state.cursor, state.digested, state.last_sent = sent.up_to, due, record.last_sent
            await save(app, record)
            await _report_sent(app, state, now)
        else:
            state.pending = sent.followed_by(state.pending)
            await _report_failure(app, state, now)
    finally:
        if state.task is asyncio.current_task():
            state.task = None


async def _report_sent(app: App, state: TargetState, now: datetime) -> None:
    was_told = state.pace.is_told
    state.pace.sent(now)
    if was_told:
        app.guards.problems.pop(problem_key(state), None)
        await app.events.append(EventKind.NOTIFY_BACK, f"{state.target.name} gets notifications again")


async def _report_failure(app: App, state: TargetState, now: datetime) -> None:
    if not state.pace.failed(now):
        return
    minutes = round((now - (state.pace.failing_since or now)).total_seconds() / 60)
    what = f"{state.target.name} has had no notifications for {minutes} minutes: {state.problem}"
    hint = f"node-ctl notify test {state.target.name} tries it; what waits is sent later"
    app.guards.problems[problem_key(state)] = Problem(SOURCE, what, hint)
    await app.events.append(EventKind.NOTIFY_FAILED, f"{what} ({hint})")


def _record(
    state: TargetState,
    *,
    cursor: int | None = None,
    digested: datetime | None = None,
    last_sent: str | None = None,
) -> NotificationRecord:
    return NotificationRecord(
        state.target.name,
        state.cursor if cursor is None else cursor,
        digested or state.digested,
        tuple((kind, launch, count) for (kind, launch), count in state.told.items()),
        last_sent or state.last_sent,
    )


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


async def rows(app: App) -> tuple[TargetRow, ...]:
    """Of the file as it is now. Raises: ConfigError where it can't be used, StateError."""
    await _current(app)
    return tuple(_row(state) for state in app.notifications.targets.values())


async def _current(app: App) -> None:
    await reread(app, datetime.now(app.zone))
    if (problem := app.notifications.problem) is not None:
        raise problem


def _row(state: TargetState) -> TargetRow:
    target = state.target
    return TargetRow(
        name=target.name,
        url=shown(target.url),
        level=target.level,
        kinds=tuple(sorted(target.kinds)),
        quiet=target.quiet_words,
        digest=target.digest_words,
        waiting=state.pending.total,
        last_sent=state.last_sent,
        problem=state.problem,
    )


async def send_tests(app: App, name: str | None) -> tuple[Delivery, ...]:
    """Sends a message to one target or to all. Raises: ConfigError, UsageError, StateError."""
    await _current(app)
    found = app.notifications.targets
    if not found:
        raise UsageError(
            f"no target for notifications: {app.settings.notify_file} has none",
            hint="docs/notifications.md has an example of that file",
        )
    if name is not None and name not in found:
        raise UsageError(f"no target is called {name!r}", hint=f"there are {', '.join(found)}")
    chosen = found.values() if name is None else (found[name],)
    return tuple(await asyncio.gather(*(_tested(app, state) for state in chosen)))


async def _tested(app: App, state: TargetState) -> Delivery:
    target, began_s = state.target, time.monotonic()
    text = message.of_test(app.notifications.box, target.name)
    reason = await deliver(app.adapters.workers, target.name, target.url, text)
    if reason is None:
        state.problem = None
        state.pace.failed_at = None  # what waits need not wait any longer
    seconds = time.monotonic() - began_s
    return Delivery(target.name, shown(target.url), reason is None, round(seconds, 1), reason)
