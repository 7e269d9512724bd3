"""What is watched of the machine while the daemon serves: devices that come and go, its sensors; and who acts
on that."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from daemon.app import App
from daemon.guards.faults import FaultGuard
from daemon.guards.heat import HeatGuard
from daemon.guards.pressure import PressureGuard
from daemon.guards.tenants import TenantsGuard
from daemon.machine import hotplug, sampling
from domain.machine.sample import Sample
from probes.kernel_log import KernelLog

log = logging.getLogger(__name__)


@asynccontextmanager
async def watching(app: App) -> AsyncIterator[None]:
    """All of them, while the block runs."""
    guards: list[Callable[[Sample], Awaitable[None]]] = []
    if app.settings.heat_guard:
        guards.append(HeatGuard(app).on_sample)
    if app.settings.memory_guard:
        guards.append(PressureGuard(app).on_sample)
    kernel_log = await asyncio.to_thread(KernelLog, app.settings.sysroot)
    guards += [FaultGuard(app, kernel_log).on_sample, TenantsGuard(app).on_sample]
    async with AsyncExitStack() as watches:
        watches.callback(kernel_log.close)
        await watches.enter_async_context(hotplug.watch_devices(app))
        tasks = [asyncio.create_task(_guard(app, guard), name="guard") for guard in guards]
        watches.push_async_callback(asyncio.wait, tasks)
        await watches.enter_async_context(sampling.sampling(app))
        yield


async def _guard(app: App, guard: Callable[[Sample], Awaitable[None]]) -> None:
    async for sample in app.samples.follow():
        try:
            await guard(sample)
        except Exception:  # a bug in one of them: the next sample is looked at, and the others go on
            log.exception("a guard failed")
