"""The devices of Vulkan and Level Zero: read once a boot, and again when a driver or a GPU changes."""

import asyncio
from dataclasses import dataclass

from daemon.app import App
from daemon.state.records import WorkKey, WorkKind
from domain.machine.hardware import Hardware
from probes.runtimes import probe
from probes.runtimes.probe import Runtimes

RUNTIMES = "runtimes"
JOB = WorkKey(WorkKind.JOB, "GPU runtimes")


@dataclass(frozen=True, slots=True)
class StoredRuntimes:
    """``key`` identifies the drivers and GPUs for which ``found`` is valid."""

    key: str
    found: Runtimes


async def update(app: App, hardware: Hardware) -> None:
    """Runs after a scheduled snapshot, so that no other snapshot waits for a driver. Does nothing while a GPU
    sleeps, because it would wake."""
    key = await asyncio.to_thread(probe.cache_key, app.settings.sysroot, hardware)
    async with app.measuring_lock:
        if key is None or JOB in app.in_flight.poison or await _stored(app, key) is not None:
            return
        async with app.in_flight.running(JOB, "asking Vulkan and Level Zero for their devices"):
            runtimes = await asyncio.to_thread(app.adapters.ask_runtimes)
        await app.store.record(RUNTIMES, StoredRuntimes(key, runtimes), boot_id=app.boot_id)
    if app.hardware_cache.hardware is not None:
        app.hardware_cache.hardware = probe.with_runtimes(app.hardware_cache.hardware, runtimes)


async def with_runtimes(app: App, hardware: Hardware) -> Hardware:
    """``hardware`` with what is stored of this boot, even while a GPU sleeps."""
    key = await asyncio.to_thread(probe.cache_key, app.settings.sysroot, hardware)
    runtimes = await _stored(app, key)
    return hardware if runtimes is None else probe.with_runtimes(hardware, runtimes)


async def _stored(app: App, key: str | None) -> Runtimes | None:
    """With ``key`` None whatever is stored of this boot."""
    stored = await app.store.recall_of_boot(StoredRuntimes, RUNTIMES, app.boot_id)
    return None if stored is None or key not in (None, stored.key) else stored.found
