"""Events and targets for tests of notifications."""

import dataclasses
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

from config.settings import Settings
from daemon.app import App
from daemon.notifications import service
from daemon.notifications.policy import Pending
from daemon.state.records import Event
from domain.events import EventKind, Level
from domain.notifications import Target
from tests.rigs.receivers import Receiver

NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)

TOKEN = "t0psecret"
PATIENT = "cto=100&rto=100"  # seconds that apprise waits for a busy test machine, instead of 4
Opened = Callable[[], AbstractAsyncContextManager[App]]


def event(kind: EventKind, message: str = "it happened", launch: str | None = None, number: int = 1) -> Event:
    at = (NOON - timedelta(minutes=5)).isoformat()
    return Event(number, at, kind, launch, message, kind.level)


def target(level: Level | None = Level.WARNING, **more: object) -> Target:
    return dataclasses.replace(Target("phone", "json://127.0.0.1/secret", level), **more)  # type: ignore[arg-type]


def pending(*events: Event) -> Pending:
    made = Pending(0)
    for one in events:
        made.add(one)
    return made


def configure(settings: Settings, text: str, mode: int = 0o600) -> None:
    path = settings.notify_file
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name("new")
    beside.write_text(text)
    beside.chmod(mode)
    beside.rename(path)  # another file: whatever the clock, it is a change


def hook(receiver: Receiver, name: str = "phone", more: str = "") -> str:
    return f'[{name}]\nurl = "json://127.0.0.1:{receiver.port}/{name}/{TOKEN}?{PATIENT}"\n{more}\n'


async def look(app: App, after: timedelta = timedelta(0)) -> None:
    """A look ``after`` noon, and what it begins to its end."""
    await service.look(app, NOON + after)
    for state in tuple(app.notifications.targets.values()):
        if state.task is not None:
            await state.task


async def kinds(app: App) -> list[str]:
    return [event.kind async for event in app.events.read(0, follow=False)]
