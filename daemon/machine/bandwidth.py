"""Benchmarks that run once a boot and whose results are stored: RAM bandwidth and read rate of the disk."""

import asyncio
import logging
from dataclasses import dataclass, replace

from daemon.app import App
from daemon.state.records import WorkKey, WorkKind
from domain.errors import NodeError
from domain.machine.hardware import BandwidthSource, Hardware
from domain.machine.provenance import Certainty, Provenance
from probes.benchmarks.disk import ReadRate

log = logging.getLogger(__name__)

BANDWIDTH = "ram_bandwidth_bytes_per_s"
READ_RATE = "read_rate"
BANDWIDTH_JOB = WorkKey(WorkKind.JOB, "memory bandwidth")
READ_RATE_JOB = WorkKey(WorkKind.JOB, "read rate")

BANDWIDTH_SOURCE = Provenance(
    "measured", Certainty.MEASURED, "threads copying in C, once a boot; bytes read and written both count"
)
WEIGHTS_SOURCE = Provenance("measured", Certainty.MEASURED, "direct reads of weights for 0.25 s, once a boot")
TRIAL_SOURCE = Provenance(
    "measured", Certainty.MEASURED, "direct reads of a new file of 64 MiB, because there were no weights"
)


@dataclass(frozen=True, slots=True)
class ReadRateTrial:
    """``rate`` is ``None`` if it could not be measured."""

    rate: ReadRate | None


async def get_or_measure_bandwidth(app: App) -> float | None:
    """The result of this boot, measured now if there is none. None if too little RAM is free: then the next
    snapshot tries again."""
    return await stored_bandwidth(app) or await _measure_bandwidth(app)


async def stored_bandwidth(app: App) -> float | None:
    return await app.store.recall_of_boot(float, BANDWIDTH, app.boot_id)


async def _measure_bandwidth(app: App) -> float | None:
    async with app.measuring_lock:
        stored = await stored_bandwidth(app)  # measured while this call waited for the lock
        if stored is not None or BANDWIDTH_JOB in app.in_flight.poison:
            return stored
        try:
            async with app.in_flight.running(BANDWIDTH_JOB, "measuring the bandwidth of the RAM"):
                measured = await app.adapters.measure_bandwidth()
        except NodeError as error:
            log.warning("bandwidth of the RAM not measured: %s", error)
            return None
        if measured is not None:
            await app.store.record(BANDWIDTH, measured, boot_id=app.boot_id)
        return measured


async def measure_read_rate(app: App) -> None:
    """A job of its own, so that no snapshot waits for a disk. A failure is stored, too, and not repeated in
    this boot, because the attempt may have written a file."""
    key = _read_rate_key(app)
    async with app.measuring_lock:
        if READ_RATE_JOB in app.in_flight.poison:
            return
        if await app.store.recall_of_boot(ReadRateTrial, key, app.boot_id) is None:
            async with app.in_flight.running(READ_RATE_JOB, "measuring how fast its disk reads"):
                rate = await asyncio.to_thread(app.adapters.measure_read_rate)
            await app.store.record(key, ReadRateTrial(rate), boot_id=app.boot_id)


async def with_benchmarks(app: App, hardware: Hardware, bandwidth_bytes_per_s: float | None) -> Hardware:
    """``hardware`` with the results of this boot and their provenance. The peak bandwidth stays beside the
    measured one."""
    if bandwidth_bytes_per_s is not None:
        memory = replace(
            hardware.memory,
            bandwidth_bytes_per_s=bandwidth_bytes_per_s,
            bandwidth_source=BandwidthSource.MEASURED,
        )
        names = ("memory.bandwidth_bytes_per_s", "memory.bandwidth_source")
        sources = {**hardware.sources, **dict.fromkeys(names, BANDWIDTH_SOURCE)}
        hardware = replace(hardware, memory=memory, sources=sources)
    trial = await app.store.recall_of_boot(ReadRateTrial, _read_rate_key(app), app.boot_id)
    if hardware.storage is None or trial is None or trial.rate is None:
        return hardware
    storage = replace(hardware.storage, read_bytes_per_s=trial.rate.bytes_per_s)
    source = WEIGHTS_SOURCE if trial.rate.of_weights else TRIAL_SOURCE
    sources = {**hardware.sources, "storage.read_bytes_per_s": source}
    return replace(hardware, storage=storage, sources=sources)


def _read_rate_key(app: App) -> str:
    return f"{READ_RATE}:{app.settings.models_dir}"
