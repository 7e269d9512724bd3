"""Starts what is on demand, for a request: callers share one start."""

import asyncio

from daemon.app import App
from daemon.launches import retry, service
from daemon.launches.demand.room import lacking
from daemon.launches.eviction.policy import Shortage
from daemon.launches.launch import Launch


class NotNowError(Exception):
    """Why it is not started: ``shortages`` of memory, or a start that failed a moment ago."""

    def __init__(self, launch: Launch, *, shortages: tuple[Shortage, ...] = (), wait_s: float = 0.0) -> None:
        super().__init__(launch.name)
        self.launch = launch
        self.shortages = shortages
        self.wait_s = wait_s


class Waker:
    """For the event loop only."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._waking: dict[str, asyncio.Task[Launch]] = {}

    async def wake(self, launch: Launch) -> Launch:
        """The launch that serves it, once its start has begun. Raises: NotNowError, with nothing begun;
        BusyError where it stops just now."""
        task = self._waking.get(launch.name)
        if task is None:
            task = asyncio.create_task(self._wake(launch), name=f"wake {launch.name}")
            self._waking[launch.name] = task
            task.add_done_callback(lambda done: self._forget(launch.name, done))
        return await asyncio.shield(task)

    def _forget(self, name: str, done: "asyncio.Task[Launch]") -> None:
        del self._waking[name]
        if not done.cancelled():
            done.exception()  # marks it as retrieved: its callers may be gone

    async def _wake(self, launch: Launch) -> Launch:
        await self._app.survivors_known.wait()
        if (wait_s := self._rest_s(launch)) > 0:
            raise NotNowError(launch, wait_s=wait_s)
        if launch.plan is not None and (shortages := await lacking(self._app, launch, launch.plan)):
            raise NotNowError(launch, shortages=shortages)
        found = self._app.launches.get(launch.name)
        if found is not launch or not launch.parked or not launch.is_at_rest:
            return found or launch  # somebody was quicker
        return service.begin_for_request(self._app, launch)

    def _rest_s(self, launch: Launch) -> float:
        """How long it is left alone after a start that failed."""
        failed_s = launch.use.failed_s
        if failed_s is None:
            return 0.0
        policy = retry.RetryPolicy.of(self._app.settings)
        rest_s = retry.wait_s(policy, max(1, launch.attempts.failures))
        return failed_s + rest_s - asyncio.get_running_loop().time()
