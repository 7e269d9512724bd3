"""What Vulkan and Level Zero show: asked once a boot, and again when a driver or a GPU changes."""

import asyncio

from daemon.app import App
from domain.hardware import Hardware
from domain.serialization import from_json, to_json
from probes.runtimes import probe
from probes.runtimes.probe import Runtimes

RUNTIMES = "runtimes"


async def ask(app: App, seen: Hardware) -> None:
    """After a look of the schedule, so that no other waits for a driver. A GPU that sleeps is left asleep."""
    key = await asyncio.to_thread(probe.key, app.settings.sysroot, seen)
    async with app.measuring_lock:
        if key is None or await _known(app, key) is not None:
            return
        found = await asyncio.to_thread(app.adapters.ask_runtimes)
        kept = {"key": key, "found": to_json(found)}
        await asyncio.to_thread(app.store.put_fact, RUNTIMES, kept, boot_id=app.boot_id)
    if app.hardware_cache.hardware is not None:
        app.hardware_cache.hardware = probe.with_runtimes(app.hardware_cache.hardware, found)


async def with_runtimes(app: App, seen: Hardware) -> Hardware:
    """``seen`` with what is known of this boot, even while a GPU sleeps."""
    key = await asyncio.to_thread(probe.key, app.settings.sysroot, seen)
    found = await _known(app, key)
    return seen if found is None else probe.with_runtimes(seen, found)


async def _known(app: App, key: str | None) -> Runtimes | None:
    """``key`` None takes whatever this boot was told."""
    fact = await asyncio.to_thread(app.store.fact, RUNTIMES)
    if fact is None or fact.boot_id != app.boot_id or (key is not None and fact.value["key"] != key):
        return None
    return from_json(Runtimes, fact.value["found"])
