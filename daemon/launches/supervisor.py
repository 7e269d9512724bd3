"""Keeps one launch served: starts it, waits for its end, starts it again, each time after a longer wait."""

import asyncio
import logging
from contextlib import suppress

from daemon.app import Node
from daemon.events.progress_log import Track
from daemon.launches.launch import Live
from daemon.launches.persistence import remember_known
from daemon.launches.pipeline import launch
from daemon.launches.start import ended, taken_over
from domain.errors import EngineError, NodeError, StateError
from domain.launch import LaunchState, Step

log = logging.getLogger(__name__)


async def keep(node: Node, live: Live) -> None:
    """Runs until it is cancelled (stop, shutdown) or until a first try has failed.

    A launch that has never been desired is given up at its first error: its owner is there and reads it.
    A desired one is never given up. Waits grow from ``restart_delay_s`` twofold to ``restart_delay_max_s``
    and begin anew once it served ``restart_stable_s``.
    """
    attended = not live.kept
    while True:
        live.retry_now.clear()
        attempt = live.track
        try:
            if live.process is None:
                await launch(node, live)
            elif live.state is not LaunchState.READY:
                await taken_over(node, live)
            attended = False
            error: NodeError = await _served_until_it_ended(node, live)
        except NodeError as failure:  # told as the launch's state and progress: this task has no caller
            error = failure
        except Exception as bug:  # nobody awaits this task: a bug must become a state that an owner sees
            log.exception("launch broke: name=%s", live.name)
            error = NodeError(f"{type(bug).__name__}: {bug}", hint="the daemon's log has the traceback")
        if (own := asyncio.current_task()) is not None and own.cancelling():
            return  # an end that failed must not hide that it was asked for
        if attended:
            await _give_up(node, live, error)
            return
        await _again(node, live, error, attempt)


def delay_s(failures: int, *, first_s: float, most_s: float) -> float:
    """The wait before the next try after ``failures`` in a row: 1 -> first, 2 -> twice, ... -> most."""
    return min(most_s, first_s * 2.0 ** min(failures - 1, 30))


async def _served_until_it_ended(node: Node, live: Live) -> EngineError:
    process = live.process
    if process is None:
        raise RuntimeError(f"{live.name} has no process to wait for")
    loop = asyncio.get_running_loop()
    began = loop.time()
    ended_as = await process.wait()
    live.become(LaunchState.DEGRADED)
    if loop.time() - began >= node.settings.restart_stable_s:
        live.failures = 0
    error = await process.why()
    log.warning("engine ended unasked: launch=%s %s", live.name, ended_as)
    await ended(node, live, error.in_full)
    return error


async def _give_up(node: Node, live: Live, error: NodeError) -> None:
    """Its owner waits for the word: it is given even where the engine can't be ended."""
    live.kept = False
    try:
        if live.process is not None:
            await live.process.stop()
            await ended(node, live, "given up")
    except NodeError as stuck:
        log.warning("not ended: launch=%s %s", live.name, stuck.in_full)
    finally:
        live.last_error = error.in_full
        live.become(LaunchState.FAILED)
        await _note(node, live)
        await node.diary.write("failed", error.in_full, launch=live.name)
        live.say(Step.FAILED, str(error), error=error)


async def _again(node: Node, live: Live, error: NodeError, attempt: Track) -> None:
    """Waits before the next try; a new launch of the same name ends the wait, and has begun a track of
    its own, which knows nothing of the failed ``attempt``."""
    live.failures += 1
    live.restarts += 1
    live.last_error = error.in_full
    loops = live.failures >= node.settings.restart_loop
    wait_s = delay_s(
        live.failures, first_s=node.settings.restart_delay_s, most_s=node.settings.restart_delay_max_s
    )
    then = f"next try in {wait_s:g} s"
    if not attempt.ended:
        attempt.say(Step.FAILED, f"{error}; {then}", error=error)
    live.become(LaunchState.FAILED if loops else LaunchState.DEGRADED)
    await _note(node, live)
    await node.diary.write("failing" if loops else "died", f"{error.in_full}; {then}", launch=live.name)
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await live.retry_now.wait()
    if live.track.ended:
        live.track = Track()


async def _note(node: Node, live: Live) -> None:
    """Writes down a launch that is known there; a state that can't be written ends no supervision."""
    try:
        await remember_known(node, live)
    except StateError as error:
        log.warning("state not written: launch=%s %s", live.name, error)
