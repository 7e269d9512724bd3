"""Scheduled jobs: which function runs how often. The functions themselves know no scheduler."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from catalog.local.leases import RENEW_S
from daemon.app import App
from daemon.interruption import is_end_of_task
from daemon.launches import persistence
from daemon.launches.demand.park import stop_idle
from daemon.launches.ladder.climb import climb_at_night
from daemon.machine import disk_space, snapshot, weights_disk
from daemon.notifications.service import look as send_notifications
from daemon.schedules.service import run_due
from daemon.weights import leases
from daemon.weights.catalogue import update as catalogue_update
from domain.errors import NodeError
from domain.events import EventKind

log = logging.getLogger(__name__)

IDLE_LOOK_S = 5
SCHEDULES_EVERY_S = 5  # looked at again: the clock may be set, and the machine sleep
NOTIFY_EVERY_S = 5  # events that come together are one message
CATALOGUE_HOURS = 6  # how soon after a failure its address is asked again


@contextmanager
def running(app: App) -> Iterator[None]:
    jobs = scheduler(app)
    jobs.start()
    try:
        yield
    finally:
        jobs.shutdown(wait=False)


def scheduler(app: App) -> AsyncIOScheduler:
    """Not started yet. A job that is late runs once, never twice at a time."""
    jobs = AsyncIOScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    every = IntervalTrigger(seconds=int(max(1, app.settings.probe_interval_s)), timezone="UTC")
    at_once = datetime.now(UTC)
    jobs.add_job(reported(snapshot.refresh), every, args=[app], id="refresh-hardware")
    jobs.add_job(reported(persistence.flush), every, args=[app], id="flush-state")
    jobs.add_job(reported(_copy_state), every, args=[app], id="copy-state", next_run_time=at_once)
    renewing = IntervalTrigger(seconds=int(RENEW_S), timezone="UTC")
    jobs.add_job(reported(leases.renew), renewing, args=[app], id="renew-lease")
    jobs.add_job(reported(disk_space.check_disks), every, args=[app], id="watch-disk")
    jobs.add_job(reported(weights_disk.watch), every, args=[app], id="watch-weights", next_run_time=at_once)
    if app.settings.catalogue_url is not None:
        asking = IntervalTrigger(hours=CATALOGUE_HOURS, timezone="UTC")
        jobs.add_job(reported(catalogue_update.update_weekly), asking, args=[app], id="update-catalogue")
    often = IntervalTrigger(seconds=IDLE_LOOK_S, timezone="UTC")
    jobs.add_job(reported(stop_idle), often, args=[app], id="stop-idle")
    looking = IntervalTrigger(seconds=SCHEDULES_EVERY_S, timezone="UTC")
    jobs.add_job(reported(run_due), looking, args=[app], id="schedules", next_run_time=at_once)
    telling = IntervalTrigger(seconds=NOTIFY_EVERY_S, timezone="UTC")
    jobs.add_job(reported(send_notifications), telling, args=[app], id="notifications", next_run_time=at_once)
    hourly = IntervalTrigger(hours=1, timezone="UTC")
    jobs.add_job(reported(climb_at_night), hourly, args=[app], id="climb")
    return jobs


async def _copy_state(app: App) -> None:
    await app.store.copies.refresh()


def reported(job: Callable[[App], Awaitable[object]]) -> Callable[[App], Awaitable[None]]:
    """``job``, whose failures are events: one for each that follows a success. Without its CancelledError:
    the scheduler cancels running jobs when it ends, and would log each as an error with a traceback."""
    failing = False

    @wraps(job)
    async def run(app: App) -> None:
        nonlocal failing
        try:
            await job(app)
            failing = False
        except BaseException as bug:  # whatever it is, the job runs again
            if is_end_of_task(bug):
                return
            if isinstance(bug, NodeError):
                log.warning("job failed: %s %s", job.__name__, bug.in_full)
            else:
                log.exception("job failed: %s", job.__name__)
            if not failing:
                await app.events.append(EventKind.JOB_FAILED, f"{job.__name__}: {type(bug).__name__}: {bug}")
            failing = True

    return run
