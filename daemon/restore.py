"""At a start: what was desired comes back. Engines that outlived the last daemon are taken over, not
started a second time; those that nobody desires any more are ended."""

import asyncio
import logging
import os

from daemon.live import Live
from daemon.node import Node
from daemon.records import Run
from daemon.requests import supervise
from daemon.start import adopted
from domain.launch import LaunchState
from launchers import proc
from launchers.proc import Identity

log = logging.getLogger(__name__)


async def restore(node: Node) -> None:
    """Returns when survivors are known and all that was desired is on its way, in its old order."""
    for told in await asyncio.to_thread(node.store.launches):
        node.live[told.request.name] = Live.of(told)
    for run in await asyncio.to_thread(node.store.open_runs):
        await _settle(node, run)
    for live in node.live.values():
        if live.kept:
            live.become(LaunchState.STARTING if live.process else LaunchState.QUEUED)
            supervise(node, live)
        elif live.state is not LaunchState.FAILED:
            live.become(LaunchState.STOPPED)


async def _settle(node: Node, run: Run) -> None:
    """One run whose end nobody saw: taken over, ended, or found to have ended."""
    live = node.live.get(run.launch)
    identity = run.identity or await asyncio.to_thread(_started_unseen, run)
    process = None
    if identity is not None and live is not None and live.plan is not None:
        process = await adopted(node, run, live.plan, identity)
    if live is None or process is None:
        await asyncio.to_thread(node.store.close_run, run.id, "ended while no daemon ran")
    elif live.kept and live.process is None:
        live.process, live.port, live.run_id = process, run.port, run.id
        if live.plan is not None:
            node.ledger.reserve(live.name, live.plan)
        log.info("adopted: launch=%s pid=%s port=%d", live.name, process.pid, run.port)
    else:
        log.warning("survivor that nobody wants is ended: launch=%s pid=%s", run.launch, process.pid)
        await process.stop()
        await asyncio.to_thread(node.store.close_run, run.id, "no longer wanted")


def _started_unseen(run: Run) -> Identity | None:
    """The process of a run that was written down before it had a pid: the last daemon died between."""
    pids = (int(entry) for entry in os.listdir(proc.PROC) if entry.isdigit())  # noqa: PTH208 - names are enough
    return next((proc.identity(pid) for pid in pids if proc.runs(pid, run.command.argv)), None)
