"""What Vulkan and Level Zero show: asked once a boot, and again when a driver or a GPU changes."""

import asyncio
from dataclasses import dataclass

from daemon.app import App
from domain.hardware import Hardware
from probes.runtimes import probe
from probes.runtimes.probe import Runtimes

RUNTIMES = "runtimes"


@dataclass(frozen=True, slots=True)
class StoredRuntimes:
    """``key`` names the drivers and GPUs that ``found`` holds for."""

    key: str
    found: Runtimes


async def ask(app: App, seen: Hardware) -> None:
    """After a look of the schedule, so that no other waits for a driver. A GPU that sleeps is left asleep."""
    key = await asyncio.to_thread(probe.cache_key, app.settings.sysroot, seen)
    async with app.measuring_lock:
        if key is None or await _known(app, key) is not None:
            return
        found = await asyncio.to_thread(app.adapters.ask_runtimes)
        await app.store.record(RUNTIMES, StoredRuntimes(key, found), boot_id=app.boot_id)
    if app.hardware_cache.hardware is not None:
        app.hardware_cache.hardware = probe.with_runtimes(app.hardware_cache.hardware, found)


async def with_runtimes(app: App, seen: Hardware) -> Hardware:
    """``seen`` with what is known of this boot, even while a GPU sleeps."""
    key = await asyncio.to_thread(probe.cache_key, app.settings.sysroot, seen)
    found = await _known(app, key)
    return seen if found is None else probe.with_runtimes(seen, found)


async def _known(app: App, key: str | None) -> Runtimes | None:
    """``key`` None takes whatever this boot was told."""
    stored = await app.store.recall(StoredRuntimes, RUNTIMES, boot_id=app.boot_id)
    return None if stored is None or key not in (None, stored.key) else stored.found
