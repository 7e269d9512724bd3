"""Takes back a step of the ladder, at night."""

import time

from daemon.app import App
from daemon.launches import service
from daemon.launches.ladder import policy
from daemon.launches.ladder.descent import keep
from daemon.launches.launch import Launch
from domain.events import EventKind
from domain.launches.launch import LaunchState

QUIET_HOUR = 4  # in local time


async def climb_at_night(app: App) -> None:
    """A scheduled job, each hour."""
    if time.localtime().tm_hour == QUIET_HOUR:
        await climb(app)


async def climb(app: App) -> None:
    """A launch that was reduced, and serves nobody now, is tried with one step less. If memory runs out
    again, it takes that step again."""
    for launch in tuple(app.launches.values()):
        if launch.state is not LaunchState.READY or not policy.may_climb(launch.ladder, time.time()):
            continue
        if await _is_busy(launch):
            continue
        step = launch.ladder.steps[-1]
        await keep(app, launch, policy.after_climb(launch.ladder, time.time()))
        await app.events.append(
            EventKind.CLIMBING, f"{launch.name} is tried without {step.rung}", launch=launch.name
        )
        await service.restart(app, launch.name)


async def _is_busy(launch: Launch) -> bool:
    if launch.process is None:
        return True
    look = await launch.process.look()
    return look.silent or look.activity is None or look.activity.open_requests > 0
