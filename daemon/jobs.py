"""The clock: which function runs how often. The functions live elsewhere and know no scheduler."""

from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from daemon import disk, hardware, measured
from daemon.node import Node


def scheduler(node: Node) -> AsyncIOScheduler:
    """Not started yet. A job that is late runs once, never twice at a time."""
    jobs = AsyncIOScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    every = IntervalTrigger(seconds=int(max(1, node.settings.probe_interval_s)), timezone="UTC")
    at_once = datetime.now(UTC)  # so that the first question after a start is answered as fast as the next
    jobs.add_job(hardware.refresh, every, args=[node], id="refresh-hardware", next_run_time=at_once)
    jobs.add_job(measured.measure_read_rate, args=[node], id="measure-read-rate", next_run_time=at_once)
    jobs.add_job(disk.watch, every, args=[node], id="watch-disk")
    return jobs
