"""Detects at a start whether the previous daemon was shut down, died, or went down with its machine."""

from dataclasses import dataclass

from daemon.app import App
from domain.events import EventKind

KEY = "daemon"


@dataclass(frozen=True, slots=True)
class Marker:
    """``since`` is when that daemon started, ``ended`` whether it was shut down."""

    since: str
    ended: bool


async def mark_started(app: App) -> None:
    last = await app.store.recall(Marker, KEY)
    if last is not None and not last.ended:
        if await app.store.recall_of_boot(Marker, KEY, app.boot_id) is not None:
            await app.events.append(
                EventKind.DAEMON_DIED, f"the daemon started at {last.since} died: it was not shut down"
            )
        else:
            await app.events.append(
                EventKind.MACHINE_DIED,
                f"the machine went down while the daemon started at {last.since} was running",
            )
    await app.store.record(KEY, Marker(app.since, ended=False), boot_id=app.boot_id)


async def mark_stopped(app: App) -> None:
    """If it can't be stored, the next start reports a death that did not happen."""
    await app.store.record(KEY, Marker(app.since, ended=True), boot_id=app.boot_id)
