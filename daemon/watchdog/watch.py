"""Feeds systemd's watchdog while this daemon gets on, and has engines checked once the machine wakes up."""

import asyncio
import logging
import time
from collections.abc import Callable

from daemon.app import App
from daemon.systemd_notify import SystemdNotifier
from daemon.watchdog import policy
from daemon.watchdog.policy import Clocks, Progress
from domain.events import EventKind

log = logging.getLogger(__name__)

TICK_S = 15.0  # without a watchdog: how soon it is seen that the machine slept


def read_clocks() -> Clocks:
    return Clocks(time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))


async def watch(app: App, notify: SystemdNotifier, read: Callable[[], Clocks] = read_clocks) -> None:
    """Runs until cancelled. Twice in each period of the watchdog it is fed, unless something stands still."""
    watchdog = _Watchdog(app, notify, read())
    while True:
        await watchdog.look(read())
        await asyncio.sleep(TICK_S if notify.watchdog_s is None else notify.watchdog_s / 2)


class _Watchdog:
    def __init__(self, app: App, notify: SystemdNotifier, now: Clocks) -> None:
        self._app, self._notify, self._clocks = app, notify, now
        self._store_s = now.monotonic_s
        self._asked: asyncio.Future[None] | None = None

    async def look(self, now: Clocks) -> None:
        slept_s = policy.suspended_s(self._clocks, now)
        self._clocks = now
        self._ask_store(now.monotonic_s)
        launches = self._app.launches.values()
        looks = {launch.name: launch.looked_s for launch in launches if launch.looked_s is not None}
        why = policy.stalled(Progress(self._store_s, looks), now.monotonic_s)
        if why is None:
            self._notify("WATCHDOG=1")
        else:
            log.error("the watchdog is not fed: %s", why)
        if slept_s is not None:
            await self._wake_up(slept_s)

    def _ask_store(self, now_s: float) -> None:
        """One question at a time: it waits in the queue of the store's thread."""
        if self._asked is not None and not self._asked.done():
            return
        if self._asked is not None:
            self._store_s = now_s
        self._asked = self._app.store.database.hand_over(lambda: None)

    async def _wake_up(self, slept_s: float) -> None:
        for launch in self._app.launches.values():
            launch.check_now.set()
        message = f"the machine was suspended for {slept_s:.0f} s; engines are checked now"
        await self._app.events.append(EventKind.RESUMED, message)
