"""The machine as it is now: hardware, installed engines, and stored benchmarks."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from daemon.app import App
from daemon.machine import bandwidth, device_changes, runtimes
from daemon.quarantine.verdict import reason
from daemon.state.records import WorkKey, WorkKind
from domain.errors import NodeError
from domain.machine.hardware import Gpu, Hardware, Problem
from launchers import query
from probes.gpus import processes

log = logging.getLogger(__name__)

JOB = WorkKey(WorkKind.JOB, "hardware")
DISPLAYED_AFTER_S = 10.0


async def refresh(app: App) -> None:
    """The scheduled snapshot, followed by what takes long and seldom changes."""
    await runtimes.update(app, await probe_now(app))


async def probe_now(app: App) -> Hardware:
    """A new snapshot. The first one of a boot measures the bandwidth of the RAM. Raises: NodeError if daemons
    died of it."""
    if app.hardware_cache.hardware is not None:
        return await _probe(app)
    if (problem := _quarantine(app)) is not None:
        raise NodeError(problem.what, hint=problem.hint)
    async with app.in_flight.running(JOB, "reading the hardware"):
        return await _probe(app)


async def probe_awake(app: App) -> Hardware:
    """As ``probe_now``; a GPU that sleeps and whose memory is unknown is woken. Raises: NodeError."""
    hardware = await probe_now(app)
    if any(gpu.asleep and gpu.memory_total_bytes is None for gpu in hardware.gpus):
        return await _probe(app, app.adapters.probe_awake)
    return hardware


async def probe_again(app: App) -> Hardware:
    """A new snapshot, also if daemons died of it, and with GPUs that were lost."""
    app.in_flight.end(JOB)
    app.guards.quarantined.clear()
    return await probe_now(app)


async def displayed(app: App, *, fresh: bool) -> Hardware:
    """The last snapshot or a ``fresh`` one; while it hangs, or if daemons died of it, nothing but that
    problem."""
    problem = _quarantine(app)
    if problem is not None and app.hardware_cache.hardware is None:
        return Hardware(problems=(problem,))
    looking = asyncio.ensure_future(probe_now(app) if fresh else latest(app))
    await asyncio.wait({looking}, timeout=DISPLAYED_AFTER_S)
    if looking.done():
        return looking.result()
    looking.add_done_callback(lambda done: done.cancelled() or done.exception())  # marks it as retrieved
    hint = "a driver or a disk may hang: see dmesg"
    return Hardware(problems=(Problem("hardware", "the hardware is still being read", hint),))


def _quarantine(app: App) -> Problem | None:
    work = app.in_flight.poison.get(JOB)
    if work is None:
        return None
    hint = "node-ctl probe --refresh reads it again; models that run are served meanwhile"
    return Problem("hardware", f"the hardware is not read: {reason(work)}", hint)


async def _probe(app: App, read: Callable[[], Hardware] | None = None) -> Hardware:
    began_s = time.monotonic()
    bandwidth_bytes_per_s = await bandwidth.get_or_measure_bandwidth(app)
    hardware, engines = await asyncio.gather(
        asyncio.to_thread(read or app.adapters.probe), asyncio.to_thread(app.adapters.engines)
    )
    hardware = await bandwidth.with_benchmarks(app, hardware, bandwidth_bytes_per_s)
    hardware = await runtimes.with_runtimes(app, hardware)
    own = [launch.process.pid for launch in app.launches.values() if launch.process and launch.process.pid]
    hardware = await asyncio.to_thread(without_own_processes, hardware, own, app.settings.sysroot)
    hardware = replace(without_lost(hardware, app.guards.quarantined), engines=engines)
    cache = app.hardware_cache
    if began_s < cache.began_s:
        return hardware  # a snapshot that began later is in the cache already
    before, cache.hardware, cache.began_s = cache.hardware, hardware, began_s
    if before is not None and _devices(before) != _devices(hardware):
        await asyncio.to_thread(query.forget)  # the engines' lists of devices are out of date
    await device_changes.report_changes(app, before, hardware)
    took_s = time.monotonic() - began_s
    log.debug("snapshot: gpus=%d engines=%d after_s=%.3f", len(hardware.gpus), len(engines), took_s)
    return hardware


def without_own_processes(hardware: Hardware, own_pids: Collection[int], root: Path) -> Hardware:
    """``hardware`` without the GPU processes that are our engines or their workers."""

    def others(gpu: Gpu) -> Gpu:
        if not gpu.tenants:
            return gpu
        tenants = (
            process for process in gpu.tenants if not processes.descends_from(root, process.pid, own_pids)
        )
        return replace(gpu, tenants=tuple(tenants))

    return replace(hardware, gpus=tuple(others(gpu) for gpu in hardware.gpus))


def without_lost(hardware: Hardware, quarantined: dict[str, str]) -> Hardware:
    """``hardware`` with GPUs that are ``quarantined`` set aside, with the reason. One that was taken out is
    not quarantined any more: it may be put in again."""
    there = {gpu.id for gpu in hardware.gpus}
    for gpu_id in [gpu_id for gpu_id in quarantined if gpu_id not in there]:
        if not any(gpu_id.removeprefix("pci:") in problem.what for problem in hardware.problems):
            del quarantined[gpu_id]
    lost = tuple(
        replace(gpu, set_aside=quarantined[gpu.id]) for gpu in hardware.gpus if gpu.id in quarantined
    )
    if not lost:
        return hardware
    rest = tuple(gpu for gpu in hardware.gpus if gpu.id not in quarantined)
    return replace(hardware, gpus=rest, set_aside=(*hardware.set_aside, *lost))


def _devices(hardware: Hardware) -> list[tuple[str, str]]:
    return [(gpu.id, gpu.name) for gpu in hardware.gpus]


async def latest(app: App) -> Hardware:
    """The last snapshot, at most as old as the interval of the scheduled ones."""
    return app.hardware_cache.hardware or await probe_now(app)


async def has_bandwidth(app: App) -> bool:
    """Whether the bandwidth of this boot is stored."""
    return await bandwidth.stored_bandwidth(app) is not None
