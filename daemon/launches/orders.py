"""The orders to a launch: others give them, its supervisor carries them out."""

import asyncio
from collections.abc import Callable

from daemon.events.broadcast import Broadcast
from domain.launches.launch import LaunchRow


class Orders:
    """For the event loop only."""

    def __init__(self) -> None:
        self.stop = False
        self.forget = False
        self.until_asked: str | None = None
        self.shut_down = False
        self.retry = False
        self.restart = False
        self.holds: dict[str, str] = {}
        self.count = 0
        self._given = Broadcast()
        self._stopped: asyncio.Future[LaunchRow] | None = None
        self._restarted: asyncio.Future[None] | None = None

    @property
    def must_end(self) -> bool:
        return self.stop or self.shut_down

    def give_stop(self, *, forget: bool, until_asked: str | None = None) -> "asyncio.Future[LaunchRow]":
        """It is no longer desired. ``until_asked`` says why it stops until a request starts it again; an
        owner's stop is for good. The result is its row once nothing of it runs, or the error that prevents
        it."""
        if until_asked is None or not self.stop:
            self.until_asked = until_asked
        self.stop = True
        self.forget = self.forget or forget
        if self._stopped is None or self._stopped.done():
            self._stopped = asyncio.get_running_loop().create_future()
        self._notify()
        return self._stopped

    def give_shut_down(self) -> None:
        """It ends with the daemon, and stays desired."""
        self.shut_down = True
        self._notify()

    def hold(self, holder: str, waits_for: str) -> None:
        """Its engine ends, and it is not started before each ``holder`` has released it. It stays desired."""
        if self.holds.get(holder) != waits_for:
            self.holds[holder] = waits_for
            self._notify()

    def release(self, holder: str) -> None:
        if self.holds.pop(holder, None) is not None:
            self._notify()

    def give_retry(self) -> None:
        """It tries again at once."""
        self.retry = True
        self._notify()

    def give_restart(self) -> "asyncio.Future[None]":
        """Its engine is stopped and started again. The result is set once the next start has begun."""
        self.restart = True
        if self._restarted is None or self._restarted.done():
            self._restarted = asyncio.get_running_loop().create_future()
        self._notify()
        return self._restarted

    def answer_restart(self, error: Exception | None = None) -> None:
        """Answers everyone who asked to restart it."""
        if self._restarted is None or self._restarted.done():
            return
        if error is None:
            self._restarted.set_result(None)
        else:
            self._restarted.set_exception(error)
            self._restarted.exception()  # marks it as retrieved: the caller may be gone

    def answer_stop(self, result: LaunchRow | Exception) -> None:
        """Answers everyone who asked to stop it."""
        if self._stopped is None or self._stopped.done():
            return
        if isinstance(result, Exception):
            self._stopped.set_exception(result)
            self._stopped.exception()  # marks it as retrieved: the caller may be gone
        else:
            self._stopped.set_result(result)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._given.wait()

    def _notify(self) -> None:
        self.count += 1
        self._given.notify_all()
