"""What Vulkan and Level Zero show: asked once a boot, and again when a driver or a GPU changes."""

import asyncio

from daemon.node import Node
from domain.hardware import Hardware
from domain.jsonable import from_json, to_json
from probes import runtimes
from probes.runtimes import Runtimes

RUNTIMES = "runtimes"


async def ask(node: Node, seen: Hardware) -> None:
    """After a look of the schedule, so that no other waits for a driver. A GPU that sleeps is left asleep."""
    key = await asyncio.to_thread(runtimes.key, node.settings.sysroot, seen)
    async with node.measuring:
        if key is None or await _known(node, key) is not None:
            return
        found = await asyncio.to_thread(node.rooms.ask_runtimes)
        kept = {"key": key, "found": to_json(found)}
        await asyncio.to_thread(node.store.put_fact, RUNTIMES, kept, boot_id=node.boot_id)
    if node.seen.hardware is not None:
        node.seen.hardware = runtimes.with_runtimes(node.seen.hardware, found)


async def with_runtimes(node: Node, seen: Hardware) -> Hardware:
    """``seen`` with what is known of this boot, even while a GPU sleeps."""
    key = await asyncio.to_thread(runtimes.key, node.settings.sysroot, seen)
    found = await _known(node, key)
    return seen if found is None else runtimes.with_runtimes(seen, found)


async def _known(node: Node, key: str | None) -> Runtimes | None:
    """``key`` None takes whatever this boot was told."""
    fact = await asyncio.to_thread(node.store.fact, RUNTIMES)
    if fact is None or fact.boot_id != node.boot_id or (key is not None and fact.value["key"] != key):
        return None
    return from_json(Runtimes, fact.value["found"])
