"""Scheduled jobs: which function runs how often. The functions themselves know no scheduler."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import wraps

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from catalog.local.leases import RENEW_S
from daemon.app import App
from daemon.launches import persistence
from daemon.machine import bandwidth, disk_space, snapshot
from daemon.weights import leases


def scheduler(app: App) -> AsyncIOScheduler:
    """Not started yet. A job that is late runs once, never twice at a time."""
    jobs = AsyncIOScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    every = IntervalTrigger(seconds=int(max(1, app.settings.probe_interval_s)), timezone="UTC")
    at_once = datetime.now(UTC)  # so that the first request after a start is answered as fast as the next
    jobs.add_job(stoppable(snapshot.refresh), every, args=[app], id="refresh-hardware", next_run_time=at_once)
    jobs.add_job(
        stoppable(bandwidth.measure_read_rate), args=[app], id="measure-read-rate", next_run_time=at_once
    )
    jobs.add_job(stoppable(persistence.flush), every, args=[app], id="flush-state")
    jobs.add_job(stoppable(_copy_state), every, args=[app], id="copy-state", next_run_time=at_once)
    renewing = IntervalTrigger(seconds=int(RENEW_S), timezone="UTC")
    jobs.add_job(stoppable(leases.renew), renewing, args=[app], id="renew-lease")
    jobs.add_job(stoppable(disk_space.check_disks), every, args=[app], id="watch-disk")
    return jobs


async def _copy_state(app: App) -> None:
    await app.store.copies.refresh()


def stoppable(job: Callable[[App], Awaitable[object]]) -> Callable[[App], Awaitable[None]]:
    """``job`` without its CancelledError: the scheduler cancels running jobs when it ends, and would log each
    as an error with a traceback."""

    @wraps(job)
    async def run(app: App) -> None:
        with suppress(asyncio.CancelledError):
            await job(app)

    return run
