"""What is watched of the machine while the daemon serves: devices that come and go, its sensors."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from daemon.app import App
from daemon.machine import hotplug, sampling


@asynccontextmanager
async def watching(app: App) -> AsyncIterator[None]:
    """All of them, while the block runs."""
    async with AsyncExitStack() as watches:
        await watches.enter_async_context(hotplug.watch_devices(app))
        await watches.enter_async_context(sampling.sampling(app))
        yield
