"""Tells at a start if the last daemon had no orderly end: it died, or the machine went down under it."""

import asyncio
import logging

from daemon.app import App
from daemon.doctor.checks.daemon import DAEMON_DIED, MACHINE_DIED
from domain.errors import StateError

log = logging.getLogger(__name__)

FACT = "daemon"


async def mark_started(app: App) -> None:
    """Raises: StateError."""
    last = await asyncio.to_thread(app.store.fact, FACT)
    if last is not None and not last.value["ended"]:
        since = last.value["since"]
        if last.boot_id == app.boot_id:
            await app.events.append(DAEMON_DIED, f"the daemon of {since} ended without a word")
        else:
            await app.events.append(MACHINE_DIED, f"the machine went down under the daemon of {since}")
    await _write(app, ended=False)


async def mark_stopped(app: App) -> None:
    """A state that can't be written makes the next start tell of a death that was none."""
    try:
        await _write(app, ended=True)
    except StateError as error:
        log.warning("orderly end not written: %s", error)


async def _write(app: App, *, ended: bool) -> None:
    value = {"since": app.since, "ended": ended}
    await asyncio.to_thread(app.store.put_fact, FACT, value, boot_id=app.boot_id)
