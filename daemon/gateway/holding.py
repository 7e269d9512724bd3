"""Requests that wait for a launch that is starting: bounded in time and number, and told why they can't."""

import asyncio

from daemon.app import App
from daemon.gateway.errors import GatewayError, Reason, UnknownServedModelError
from daemon.launches.demand.room import next_step, shortage_in_words
from daemon.launches.demand.wake import NotNowError, Waker
from daemon.launches.launch import Engine, Launch
from domain.launches.launch import LaunchState, Step
from domain.units import duration, gib

# Node's HTTP client gives up after 300 s without a head; OpenAI's and Anthropic's own after 600 s.
HOLD_S = 240.0
MAX_HELD = 64
SETTLE_S = 2.0  # until an engine that closes connections is known to have ended; one that has not is asked
RETRY_S = 30


class Hold:
    """``hold_s``: how long a request waits at most; ``held``: how many wait now."""

    def __init__(self, app: App, *, hold_s: float = HOLD_S) -> None:
        self._app = app
        self._hold_s = hold_s
        self._waker = Waker(app)
        self.held = 0

    async def until_ready(self, name: str, *, not_with: Engine | None = None) -> tuple[Launch, Engine]:
        """The launch of that name and its engine, once that answers; ``not_with`` is one that just did not.
        One that is stopped until a request comes is started. Raises: GatewayError for a launch that won't be
        ready soon, or at all."""
        launch = self._offered(name)
        if (engine := _engine(launch)) is not None and engine is not not_with:
            return launch, engine
        if self.held >= MAX_HELD:
            message = f"{self.held} requests wait for models that are starting; {name} is {launch.state}"
            raise GatewayError(Reason.UNAVAILABLE, message, retry_after_s=RETRY_S)
        self.held += 1
        try:
            async with asyncio.timeout(self._hold_s):
                if engine is not None:
                    await _settle(launch)
                return await self._wait(name)
        except TimeoutError:
            raise unavailable(self._offered(name), f"not ready after {duration(self._hold_s)}") from None
        finally:
            self.held -= 1

    async def _wait(self, name: str) -> tuple[Launch, Engine]:
        while True:
            launch = self._offered(name)
            if launch.parked and launch.is_at_rest:
                launch = await self._started(launch)
            if (engine := _engine(launch)) is not None:
                return launch, engine
            if launch.orders.holds:
                raise unavailable(launch, f"it waits for {launch.waits_for}")
            if launch.state is LaunchState.DOWNLOADING:
                raise _downloading(launch)
            if launch.state is LaunchState.FAILED:
                raise unavailable(launch, "it is tried again")
            await launch.lifecycle.changed.wait()
            if _is_given_up(launch):
                raise unavailable(launch, "it can't be started")

    async def _started(self, launch: Launch) -> Launch:
        """Raises: GatewayError where it is not to be started now."""
        try:
            return await self._waker.wake(launch)
        except NotNowError as error:
            if not error.shortages:
                raise unavailable(launch, "its last start failed", retry_after_s=error.wait_s) from None
            message = f"there is no room for {launch.name}: {shortage_in_words(error.shortages)}"
            raise GatewayError(
                Reason.UNAVAILABLE, f"{message}; {next_step(error.shortages)}", retry_after_s=RETRY_S
            ) from None

    def _offered(self, name: str) -> Launch:
        launch = self._app.launches.get(name)
        if launch is None or not launch.is_offered:
            raise UnknownServedModelError(f"{name} is no longer served: node-ctl start {name}")
        return launch


def _engine(launch: Launch) -> Engine | None:
    """One that is about to stop gets no request any more."""
    is_served = launch.state is LaunchState.READY and not launch.orders.must_end
    return launch.engine if is_served else None


def _is_given_up(launch: Launch) -> bool:
    return launch.state is LaunchState.FAILED and not launch.lifecycle.desired


async def _settle(launch: Launch) -> None:
    """Until the end of its engine is known, which closed a connection just now."""
    try:
        async with asyncio.timeout(SETTLE_S):
            await launch.lifecycle.changed.wait()
    except TimeoutError:
        return


def unavailable(launch: Launch, why: str, *, retry_after_s: float = RETRY_S) -> GatewayError:
    last = f"; {launch.attempts.last_error}" if launch.attempts.last_error else ""
    message = f"{launch.name} is {launch.state}: {why}{last}"
    return GatewayError(Reason.UNAVAILABLE, message, retry_after_s=max(1, round(retry_after_s)))


def _downloading(launch: Launch) -> GatewayError:
    """With the numbers that its progress has."""
    lines = [line for line in launch.progress.lines if line.step is Step.DOWNLOAD and line.bytes_total]
    if not lines:
        return unavailable(launch, "its weights are being fetched")
    last = lines[-1]
    done, total = gib(last.bytes_done or 0), gib(last.bytes_total)
    left = "" if last.eta_s is None else f", about {duration(last.eta_s)} left"
    error = unavailable(launch, f"{done} of {total} are fetched{left}")
    if last.eta_s is not None:
        error.retry_after_s = max(1, min(3600, int(last.eta_s)))
    return error
