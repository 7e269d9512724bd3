"""The machine as it is now: what the probes see, the engines there are, and what was measured."""

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from daemon.app import App
from daemon.machine import bandwidth as measured
from daemon.machine import device_changes, runtimes
from domain.hardware import Gpu, Hardware
from launchers import query
from probes.gpus import processes

log = logging.getLogger(__name__)


async def refresh(app: App) -> None:
    """The look of the schedule, which also asks what takes long and seldom changes."""
    await runtimes.ask(app, await probe_now(app))


async def probe_now(app: App) -> Hardware:
    """A fresh look at everything. The bandwidth is measured once a boot, on the first look."""
    began = time.monotonic()
    seen, engines, bandwidth = await asyncio.gather(
        asyncio.to_thread(app.adapters.probe),
        asyncio.to_thread(app.adapters.engines),
        measured.bandwidth(app),
    )
    seen = await measured.with_measured(app, seen, bandwidth)
    seen = await runtimes.with_runtimes(app, seen)
    own = [launch.process.pid for launch in app.launches.values() if launch.process and launch.process.pid]
    seen = await asyncio.to_thread(without_engines, seen, own, app.settings.sysroot)
    seen = replace(seen, engines=engines)
    if began < app.hardware_cache.began_s:
        return seen  # one that began later has been told already: this one is no news
    before, app.hardware_cache.hardware, app.hardware_cache.began_s = app.hardware_cache.hardware, seen, began
    if before is not None and _devices(before) != _devices(seen):
        await asyncio.to_thread(query.forget)  # an engine's list of devices is another now
    await device_changes.report_changes(app, before, seen)
    log.debug(
        "looked: gpus=%d engines=%d after_s=%.3f", len(seen.gpus), len(engines), time.monotonic() - began
    )
    return seen


def without_engines(seen: Hardware, own: Collection[int], root: Path) -> Hardware:
    """Who has memory of a GPU beside the processes ``own`` and their children: an engine has workers."""

    def others(gpu: Gpu) -> Gpu:
        kept = (one for one in gpu.tenants or () if not processes.descends_from(root, one.pid, own))
        return replace(gpu, tenants=tuple(kept)) if gpu.tenants else gpu

    return replace(seen, gpus=tuple(others(gpu) for gpu in seen.gpus))


def _devices(machine: Hardware) -> list[tuple[str, str]]:
    return [(gpu.id, gpu.name) for gpu in machine.gpus]


async def latest(app: App) -> Hardware:
    """The last look, as old as the refreshing job lets it be."""
    return app.hardware_cache.hardware or await probe_now(app)


async def measured_before(app: App) -> bool:
    """Whether the bandwidth of this boot is known already."""
    return await measured.known_bandwidth(app) is not None
