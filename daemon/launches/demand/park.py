"""Stops on-demand launches that are idle. A request starts them again."""

import asyncio

from daemon.app import App
from daemon.launches.demand.use import stops_in_s
from daemon.launches.launch import Launch
from domain.errors import EngineError, NodeError
from domain.launches.launch import LaunchState
from domain.launches.serving import Policy
from domain.units import duration

WITHOUT_ENGINE = frozenset({LaunchState.DEGRADED, LaunchState.FAILED})


async def stop_idle(app: App) -> None:
    """A scheduled job."""
    for launch in tuple(app.launches.values()):
        if _is_due(app, launch) and not await is_busy(launch) and _is_due(app, launch):
            idle_s = launch.use.idle_s(asyncio.get_running_loop().time())
            await park(launch, f"it was idle for {duration(idle_s)}")


def _is_due(app: App, launch: Launch) -> bool:
    is_up = launch.state is LaunchState.READY or launch.state in WITHOUT_ENGINE
    if not is_up or not launch.lifecycle.desired or launch.is_at_rest or launch.orders.must_end:
        return False
    now_s = asyncio.get_running_loop().time()
    left_s = stops_in_s(launch.serving, launch.use, now_s, app.settings.on_demand_idle_s)
    return left_s == 0 and not launch.use.open_requests and launch.proof_run is None


async def is_busy(launch: Launch, *, untold: bool = False) -> bool:
    """Whether anybody uses it now: clients of the gateway, or of the engine itself, which is asked;
    ``untold`` for an engine that does not say."""
    if launch.use.open_requests or launch.proof_run is not None:
        return True
    if launch.state is not LaunchState.READY:
        return launch.state not in WITHOUT_ENGINE
    if launch.process is None:
        return True
    try:
        look = await launch.process.look()
    except EngineError:
        return True  # its end is seen by its supervisor
    return look.silent or (untold if look.activity is None else look.activity.open_requests > 0)


async def park(launch: Launch, why: str) -> NodeError | None:
    """Stops it until a request comes. Returns what prevents it, once nothing of it runs or that is known."""
    if launch.serving.policy is not Policy.ON_DEMAND:
        raise RuntimeError(f"{launch.name} is not on demand")
    stopped = launch.orders.give_stop(forget=False, until_asked=why)
    try:
        await asyncio.shield(stopped)
    except NodeError as error:
        return error
    return None
