"""What a supervisor waits for: the end of an attempt, the next one, the release of a launch that is held."""

import asyncio
from collections.abc import Coroutine

from daemon.app import App
from daemon.events.progress_log import ProgressLog
from daemon.launches.launch import Launch
from daemon.launches.state_machine import Event
from domain.errors import BusyError, NodeError
from domain.events import EventKind


async def unless_ended(launch: Launch, attempt: Coroutine[None, None, NodeError]) -> NodeError | None:
    """The error that ended ``attempt``; ``None`` if an order to end, restart or hold the launch interrupted
    it."""
    orders = launch.orders
    running = asyncio.create_task(attempt, name=f"serve {launch.name}")
    ordered = asyncio.create_task(
        orders.until(lambda: orders.must_end or orders.restart or bool(orders.holds))
    )
    try:
        await asyncio.wait({running, ordered}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ordered.cancel()
        running.cancel()
        await asyncio.wait({running})
    return None if running.cancelled() else running.result()


async def until_next_try(launch: Launch, wait_s: float) -> None:
    """Waits for the time of the next try, or for an order to try now or to end."""
    orders = launch.orders
    try:
        async with asyncio.timeout(wait_s):
            await orders.until(lambda: orders.retry or orders.restart or orders.must_end)
    except TimeoutError:
        pass
    if not orders.must_end:
        launch.apply(Event.ATTEMPT)
        if launch.progress.ended:
            launch.progress = ProgressLog()


async def until_released(app: App, launch: Launch) -> None:
    """While it is held. A restart of one that does not run is refused."""
    orders = launch.orders
    was_held = False
    while orders.holds and not orders.must_end:
        was_held = True
        if orders.restart:
            orders.restart = False
            hint = f"node-ctl ps {launch.name} says for what it waits"
            orders.answer_restart(BusyError(f"{launch.name} waits for {launch.waits_for}", hint=hint))
        count = orders.count
        await orders.until(lambda: orders.count > count)  # noqa: B023 - awaited at once
    if was_held and not orders.must_end:
        message = f"{launch.name} waits no longer, and is started"
        await app.events.append(EventKind.RELEASED, message, launch=launch.name)
