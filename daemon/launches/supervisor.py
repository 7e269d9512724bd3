"""Keeps one launch served: starts it, waits for its end, starts it again, each time after a longer wait."""

import asyncio
import logging
from contextlib import suppress

from daemon.app import App
from daemon.events.progress_log import ProgressLog
from daemon.launches.launch import Launch
from daemon.launches.persistence import update_existing
from daemon.launches.pipeline import bring_up
from daemon.launches.start import ended, taken_over
from domain.errors import EngineError, NodeError, StateError
from domain.launch import LaunchState, Step

log = logging.getLogger(__name__)


async def keep(app: App, launch: Launch) -> None:
    """Runs until it is cancelled (stop, shutdown) or until a first try has failed.

    A launch that has never been desired is given up at its first error: its owner is there and reads it.
    A desired one is never given up. Waits grow from ``restart_delay_s`` twofold to ``restart_delay_max_s``
    and begin anew once it served ``restart_stable_s``.
    """
    attended = not launch.kept
    while True:
        launch.retry_now.clear()
        attempt = launch.track
        try:
            if launch.process is None:
                await bring_up(app, launch)
            elif launch.state is not LaunchState.READY:
                await taken_over(app, launch)
            attended = False
            error: NodeError = await _served_until_it_ended(app, launch)
        except NodeError as failure:  # told as the launch's state and progress: this task has no caller
            error = failure
        except Exception as bug:  # nobody awaits this task: a bug must become a state that an owner sees
            log.exception("launch broke: name=%s", launch.name)
            error = NodeError(f"{type(bug).__name__}: {bug}", hint="the daemon's log has the traceback")
        if (own := asyncio.current_task()) is not None and own.cancelling():
            return  # an end that failed must not hide that it was asked for
        if attended:
            await _give_up(app, launch, error)
            return
        await _again(app, launch, error, attempt)


def delay_s(failures: int, *, first_s: float, most_s: float) -> float:
    """The wait before the next try after ``failures`` in a row: 1 -> first, 2 -> twice, ... -> most."""
    return min(most_s, first_s * 2.0 ** min(failures - 1, 30))


async def _served_until_it_ended(app: App, launch: Launch) -> EngineError:
    process = launch.process
    if process is None:
        raise RuntimeError(f"{launch.name} has no process to wait for")
    loop = asyncio.get_running_loop()
    began = loop.time()
    ended_as = await process.wait()
    launch.become(LaunchState.DEGRADED)
    if loop.time() - began >= app.settings.restart_stable_s:
        launch.failures = 0
    error = await process.why()
    log.warning("engine ended unasked: launch=%s %s", launch.name, ended_as)
    await ended(app, launch, error.in_full)
    return error


async def _give_up(app: App, launch: Launch, error: NodeError) -> None:
    """Its owner waits for the word: it is given even where the engine can't be ended."""
    launch.kept = False
    try:
        if launch.process is not None:
            await launch.process.stop()
            await ended(app, launch, "given up")
    except NodeError as stuck:
        log.warning("not ended: launch=%s %s", launch.name, stuck.in_full)
    finally:
        launch.last_error = error.in_full
        launch.become(LaunchState.FAILED)
        await _note(app, launch)
        await app.events.append("failed", error.in_full, launch=launch.name)
        launch.say(Step.FAILED, str(error), error=error)


async def _again(app: App, launch: Launch, error: NodeError, attempt: ProgressLog) -> None:
    """Waits before the next try; a new launch of the same name ends the wait, and has begun a track of
    its own, which knows nothing of the failed ``attempt``."""
    launch.failures += 1
    launch.restarts += 1
    launch.last_error = error.in_full
    loops = launch.failures >= app.settings.restart_loop
    wait_s = delay_s(
        launch.failures, first_s=app.settings.restart_delay_s, most_s=app.settings.restart_delay_max_s
    )
    then = f"next try in {wait_s:g} s"
    if not attempt.ended:
        attempt.say(Step.FAILED, f"{error}; {then}", error=error)
    launch.become(LaunchState.FAILED if loops else LaunchState.DEGRADED)
    await _note(app, launch)
    await app.events.append("failing" if loops else "died", f"{error.in_full}; {then}", launch=launch.name)
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await launch.retry_now.wait()
    if launch.track.ended:
        launch.track = ProgressLog()


async def _note(app: App, launch: Launch) -> None:
    """Writes down a launch that is known there; a state that can't be written ends no supervision."""
    try:
        await update_existing(app, launch)
    except StateError as error:
        log.warning("state not written: launch=%s %s", launch.name, error)
