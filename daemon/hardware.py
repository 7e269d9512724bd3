"""The machine as it is now: what the probes see, the engines there are, and what was measured."""

import asyncio
import logging
import time
from dataclasses import replace

from daemon.node import Node
from domain.hardware import BandwidthSource, Hardware
from domain.told import Certainty, Told
from launchers import asking

log = logging.getLogger(__name__)

BANDWIDTH = "ram_bandwidth_bytes_per_s"
MEASURED = {
    "memory.bandwidth_bytes_per_s": Told(
        "measured", Certainty.MEASURED, "threads copying in C, once a boot; read and written count both"
    )
}


async def look(node: Node) -> Hardware:
    """A fresh look at everything. The bandwidth is measured once a boot, on the first look."""
    began = time.monotonic()
    seen, engines, bandwidth = await asyncio.gather(
        asyncio.to_thread(node.rooms.probe), asyncio.to_thread(node.rooms.engines), _bandwidth(node)
    )
    if bandwidth is not None:
        memory = replace(
            seen.memory, bandwidth_bytes_per_s=bandwidth, bandwidth_source=BandwidthSource.MEASURED
        )
        seen = replace(seen, memory=memory, sources={**seen.sources, **MEASURED})
    before = node.seen.hardware
    node.seen.hardware = replace(seen, engines=engines)
    if before is not None and _devices(before) != _devices(seen):
        await asyncio.to_thread(asking.forget)  # an engine's list of devices is another now
    log.debug(
        "looked: gpus=%d engines=%d after_s=%.3f", len(seen.gpus), len(engines), time.monotonic() - began
    )
    return node.seen.hardware


def _devices(machine: Hardware) -> list[tuple[str, str]]:
    return [(gpu.id, gpu.name) for gpu in machine.gpus]


async def latest(node: Node) -> Hardware:
    """The last look, as old as the refreshing job lets it be."""
    return node.seen.hardware or await look(node)


async def measured_before(node: Node) -> bool:
    """Whether the bandwidth of this boot is known already."""
    return await _known_bandwidth(node) is not None


async def _known_bandwidth(node: Node) -> float | None:
    fact = await asyncio.to_thread(node.store.fact, BANDWIDTH)
    return None if fact is None or fact.boot_id != node.boot_id else float(fact.value)


async def _bandwidth(node: Node) -> float | None:
    known = await _known_bandwidth(node)
    if known is not None:
        return known
    async with node.measuring:
        known = await _known_bandwidth(node)  # by now, maybe
        if known is not None:
            return known
        measured = await asyncio.to_thread(node.rooms.measure_bandwidth)
        if measured is not None:
            await asyncio.to_thread(node.store.put_fact, BANDWIDTH, measured, boot_id=node.boot_id)
        return measured
