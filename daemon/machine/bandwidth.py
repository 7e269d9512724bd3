"""What is measured on this machine once a boot and kept as a fact: how fast RAM and disk are."""

import asyncio
from dataclasses import dataclass, replace

from daemon.app import App
from domain.hardware import BandwidthSource, Hardware
from domain.provenance import Certainty, Provenance
from probes.benchmarks.disk import ReadRate

BANDWIDTH = "ram_bandwidth_bytes_per_s"
READ_RATE = "read_rate"

COPIED = Provenance(
    "measured", Certainty.MEASURED, "threads copying in C, once a boot; read and written count both"
)
FROM_WEIGHTS = Provenance(
    "measured", Certainty.MEASURED, "a quarter second of direct reads of weights, once a boot"
)
FROM_TRIAL = Provenance(
    "measured", Certainty.MEASURED, "direct reads of 64 MiB just written: there were no weights"
)


@dataclass(frozen=True, slots=True)
class ReadRateTrial:
    """``rate`` is ``None`` where it could not be measured."""

    rate: ReadRate | None


async def bandwidth(app: App) -> float | None:
    """Measured now, if it isn't known of this boot; RAM that is too full to measure is tried again."""
    return await known_bandwidth(app) or await _measure_bandwidth(app)


async def known_bandwidth(app: App) -> float | None:
    return await app.store.recall(float, BANDWIDTH, boot_id=app.boot_id)


async def _measure_bandwidth(app: App) -> float | None:
    async with app.measuring_lock:
        known = await known_bandwidth(app)  # by now, maybe
        if known is not None:
            return known
        measured = await asyncio.to_thread(app.adapters.measure_bandwidth)
        if measured is not None:
            await app.store.record(BANDWIDTH, measured, boot_id=app.boot_id)
        return measured


async def measure_read_rate(app: App) -> None:
    """A job of its own, so that no look waits for a disk. What can't be measured isn't tried again in this
    boot: it may have cost a write."""
    key = _read_rate_key(app)
    async with app.measuring_lock:
        if await app.store.recall(ReadRateTrial, key, boot_id=app.boot_id) is None:
            rate = await asyncio.to_thread(app.adapters.measure_read_rate)
            await app.store.record(key, ReadRateTrial(rate), boot_id=app.boot_id)


async def with_measured(app: App, seen: Hardware, bandwidth_bytes_per_s: float | None) -> Hardware:
    """``seen`` with the figures of this boot and who told them. The peak stays beside what was measured."""
    if bandwidth_bytes_per_s is not None:
        memory = replace(
            seen.memory,
            bandwidth_bytes_per_s=bandwidth_bytes_per_s,
            bandwidth_source=BandwidthSource.MEASURED,
        )
        told = dict.fromkeys(("memory.bandwidth_bytes_per_s", "memory.bandwidth_source"), COPIED)
        seen = replace(seen, memory=memory, sources={**seen.sources, **told})
    trial = await app.store.recall(ReadRateTrial, _read_rate_key(app), boot_id=app.boot_id)
    if seen.storage is None or trial is None or trial.rate is None:
        return seen
    storage = replace(seen.storage, read_bytes_per_s=trial.rate.bytes_per_s)
    read = FROM_WEIGHTS if trial.rate.of_weights else FROM_TRIAL
    return replace(seen, storage=storage, sources={**seen.sources, "storage.read_bytes_per_s": read})


def _read_rate_key(app: App) -> str:
    return f"{READ_RATE}:{app.settings.models_dir}"
