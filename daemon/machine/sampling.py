"""Samples sensors, memory, power and pressure on an interval, for the policies and the telemetry.

NVIDIA's library is opened for each sample, which starts the driver up where nothing else keeps it loaded, so
that a machine whose engines all rest is sampled seldom.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from daemon.app import App
from domain.events import EventKind
from domain.machine.sample import Sample

log = logging.getLogger(__name__)

LATE_S = 10.0  # a sample takes milliseconds, NVML seconds where it starts the driver up


@asynccontextmanager
async def sampling(app: App) -> AsyncIterator[None]:
    """Samples are published while the block runs."""
    task = asyncio.create_task(_sample_on(app), name="sampling")
    try:
        yield
    finally:
        app.samples.close()
        task.cancel()
        await asyncio.wait({task})


async def _sample_on(app: App) -> None:
    while True:
        try:
            if is_due(app, time.monotonic()):
                app.samples.publish(await _sample(app))
        except Exception:  # a probe's bug: the next sample may come, and the daemon serves without any
            log.exception("no sample was taken")
        await asyncio.sleep(app.settings.sample_interval_s)


def is_due(app: App, now_s: float) -> bool:
    latest = app.samples.latest
    launches = app.launches.values()
    if latest is None or any(one.engine is not None or one.orders.holds for one in launches):
        return True
    return now_s - latest.monotonic_s >= app.settings.probe_interval_s


async def _sample(app: App) -> Sample:
    """One sample at a time: while a driver hangs, one thread waits for it, and its owner is told."""
    reading = asyncio.ensure_future(asyncio.to_thread(app.adapters.sample))
    try:
        done, _ = await asyncio.wait({reading}, timeout=LATE_S)
        if done:
            return reading.result()
        hint = "a driver may hang: see dmesg"
        await app.events.append(EventKind.SENSORS_HANG, f"the sensors do not answer for {LATE_S:g} s; {hint}")
        sample = await reading
        await app.events.append(EventKind.SENSORS_ANSWER, "the sensors answer again")
        return sample
    finally:
        reading.add_done_callback(lambda one: one.cancelled() or one.exception())
