"""Tells at a start if the last daemon had no orderly end: it died, or the machine went down under it."""

import asyncio
import logging

from daemon.app import Node
from daemon.doctor.checks.daemon import DAEMON_DIED, MACHINE_DIED
from domain.errors import StateError

log = logging.getLogger(__name__)

FACT = "daemon"


async def began(node: Node) -> None:
    """Raises: StateError."""
    last = await asyncio.to_thread(node.store.fact, FACT)
    if last is not None and not last.value["ended"]:
        since = last.value["since"]
        if last.boot_id == node.boot_id:
            await node.diary.write(DAEMON_DIED, f"the daemon of {since} ended without a word")
        else:
            await node.diary.write(MACHINE_DIED, f"the machine went down under the daemon of {since}")
    await _write(node, ended=False)


async def ended(node: Node) -> None:
    """A state that can't be written makes the next start tell of a death that was none."""
    try:
        await _write(node, ended=True)
    except StateError as error:
        log.warning("orderly end not written: %s", error)


async def _write(node: Node, *, ended: bool) -> None:
    value = {"since": node.since, "ended": ended}
    await asyncio.to_thread(node.store.put_fact, FACT, value, boot_id=node.boot_id)
