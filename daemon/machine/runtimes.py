"""What Vulkan and Level Zero show: asked once a boot, and again when a driver or a GPU changes."""

import asyncio

from daemon.app import Node
from domain.hardware import Hardware
from domain.serialization import from_json, to_json
from probes.runtimes import probe
from probes.runtimes.probe import Runtimes

RUNTIMES = "runtimes"


async def ask(node: Node, seen: Hardware) -> None:
    """After a look of the schedule, so that no other waits for a driver. A GPU that sleeps is left asleep."""
    key = await asyncio.to_thread(probe.key, node.settings.sysroot, seen)
    async with node.measuring:
        if key is None or await _known(node, key) is not None:
            return
        found = await asyncio.to_thread(node.rooms.ask_runtimes)
        kept = {"key": key, "found": to_json(found)}
        await asyncio.to_thread(node.store.put_fact, RUNTIMES, kept, boot_id=node.boot_id)
    if node.seen.hardware is not None:
        node.seen.hardware = probe.with_runtimes(node.seen.hardware, found)


async def with_runtimes(node: Node, seen: Hardware) -> Hardware:
    """``seen`` with what is known of this boot, even while a GPU sleeps."""
    key = await asyncio.to_thread(probe.key, node.settings.sysroot, seen)
    found = await _known(node, key)
    return seen if found is None else probe.with_runtimes(seen, found)


async def _known(node: Node, key: str | None) -> Runtimes | None:
    """``key`` None takes whatever this boot was told."""
    fact = await asyncio.to_thread(node.store.fact, RUNTIMES)
    if fact is None or fact.boot_id != node.boot_id or (key is not None and fact.value["key"] != key):
        return None
    return from_json(Runtimes, fact.value["found"])
