"""Requests that wait for a launch that is starting: bounded in time and number, and told why they can't."""

import asyncio

from daemon.app import App
from daemon.gateway.errors import GatewayError, Reason, UnknownServedModelError
from daemon.launches.launch import Engine, Launch
from domain.launch import LaunchState, Step
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
        self.held = 0

    async def until_ready(self, name: str, *, not_with: Engine | None = None) -> tuple[Launch, Engine]:
        """The launch of that name and its engine, once that answers; ``not_with`` is one that just did not.
        Raises: GatewayError for a launch that won't be ready soon, or at all."""
        launch = self._desired(name)
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
            raise unavailable(self._desired(name), f"not ready after {duration(self._hold_s)}") from None
        finally:
            self.held -= 1

    async def _wait(self, name: str) -> tuple[Launch, Engine]:
        while True:
            launch = self._desired(name)
            if (engine := _engine(launch)) is not None:
                return launch, engine
            if launch.orders.holds:
                raise unavailable(launch, f"it waits for {launch.waits_for}")
            if launch.state is LaunchState.DOWNLOADING:
                raise _downloading(launch)
            if launch.state is LaunchState.FAILED:
                raise unavailable(launch, "it is tried again")
            await launch.lifecycle.changed.wait()

    def _desired(self, name: str) -> Launch:
        launch = self._app.launches.get(name)
        if launch is None or not launch.lifecycle.desired:
            raise UnknownServedModelError(f"{name} is no longer served: node-ctl start {name}")
        return launch


def _engine(launch: Launch) -> Engine | None:
    return launch.engine if launch.state is LaunchState.READY else None


async def _settle(launch: Launch) -> None:
    """Until the end of its engine is known, which closed a connection just now."""
    try:
        async with asyncio.timeout(SETTLE_S):
            await launch.lifecycle.changed.wait()
    except TimeoutError:
        return


def unavailable(launch: Launch, why: str) -> GatewayError:
    last = f"; {launch.attempts.last_error}" if launch.attempts.last_error else ""
    message = f"{launch.name} is {launch.state}: {why}{last}"
    return GatewayError(Reason.UNAVAILABLE, message, retry_after_s=RETRY_S)


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
