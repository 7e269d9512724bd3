"""Records each sample that is taken, and what the gateway counted since the one before."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from math import inf

from daemon.app import App
from daemon.guards.usage import devices_of
from daemon.state.telemetry.telemetry import Telemetry
from daemon.telemetry.meter import Meter, Running, launch_subject
from domain.errors import StateError
from domain.events import EventKind
from domain.machine.hardware import Hardware
from domain.machine.sample import Sample

log = logging.getLogger(__name__)

FLUSH_S = 60.0
LAST_S = 5.0  # for a disk that hangs, at the stop
THIN_S = 3600.0


@asynccontextmanager
async def recording(app: App) -> AsyncIterator[None]:
    """While the block runs, and samples are taken."""
    if app.telemetry is None:
        yield
        return
    recorder = Recorder(app, app.telemetry)
    task = asyncio.create_task(recorder.run(), name="telemetry")
    try:
        yield
    finally:
        app.samples.close()  # ends the task, once what it stores is stored
        await asyncio.wait({task}, timeout=LAST_S)
        task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await flush(app)
        await app.telemetry.close()


class Recorder:
    def __init__(self, app: App, telemetry: Telemetry) -> None:
        settings = app.settings
        self._app, self._telemetry = app, telemetry
        self._meter = Meter(gap_s(settings.sample_interval_s, settings.probe_interval_s))
        self._flushed_s = self._thinned_s = -inf

    async def run(self) -> None:
        async for sample in self._app.samples.follow():
            try:
                await self.on_sample(sample)
            except Exception:  # a bug here must not end what is recorded from the next sample on
                log.exception("a sample was not recorded")

    async def on_sample(self, sample: Sample) -> None:
        """It is stored with others, once a minute."""
        machine, now_s = sample.hardware, sample.monotonic_s
        values = self._meter.read(sample, self._running(machine), self._app.gateway.token_counts)
        names = {gpu.id: gpu.name for gpu in machine.gpus}
        launches = self._app.launches.keys() | self._app.gateway.token_counts.keys()
        names |= {launch_subject(name): name for name in launches}
        self._telemetry.buffer.add(sample.at_s, values, names)
        if now_s - self._flushed_s >= FLUSH_S:
            thin = now_s - self._thinned_s >= THIN_S
            self._flushed_s, self._thinned_s = now_s, now_s if thin else self._thinned_s
            await flush(self._app, sample.at_s, thin=thin)

    def _running(self, machine: Hardware) -> list[Running]:
        launches = [one for one in self._app.launches.values() if one.engine is not None]
        return [Running(one.name, devices_of(one, machine)) for one in launches]


def gap_s(sample_interval_s: float, probe_interval_s: float) -> float:
    """Two samples in a row that are further apart have one missing between them."""
    return 2 * max(sample_interval_s, probe_interval_s)


async def flush(app: App, now_s: float = 0.0, *, thin: bool = False) -> None:
    """Stores what was recorded so far. What can't be stored is dropped, and told once."""
    telemetry = app.telemetry
    if telemetry is None:
        return
    try:
        await telemetry.write(now_s, thin=thin)
    except StateError as error:
        if telemetry.paused is None:
            await app.events.append(EventKind.TELEMETRY_PAUSED, f"nothing is recorded for now: {error}")
        telemetry.paused = str(error)
    else:
        if telemetry.paused is not None:
            await app.events.append(EventKind.TELEMETRY_RESUMED, "telemetry is recorded again")
        telemetry.paused = None
    if telemetry.set_aside is not None:
        message, telemetry.set_aside = telemetry.set_aside, None
        await app.events.append(EventKind.TELEMETRY_LOST, message)
