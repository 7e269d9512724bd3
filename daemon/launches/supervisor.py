"""Owns one launch: starts it, waits for its end, starts it again, and ends it when it is ordered to.

All changes of a launch are made here, in one task; others give it orders.
"""

import asyncio
import logging
from collections.abc import Coroutine

from daemon.app import App
from daemon.events.progress_log import ProgressLog
from daemon.launches import persistence, retry
from daemon.launches.launch import Launch
from daemon.launches.start.engine import engine_gone
from daemon.launches.start.pipeline import bring_up, take_over
from daemon.launches.state_machine import Event
from domain.errors import EngineError, NodeError, StateError
from domain.launch import LaunchState, Step

log = logging.getLogger(__name__)

TRACEBACK = "the daemon's log has the traceback"


def supervise(app: App, launch: Launch) -> None:
    """Starts the task of ``launch``. The app holds it, so that a caller that is cancelled does not end it."""
    launch.task = asyncio.create_task(_supervise(app, launch), name=f"supervise {launch.name}")


async def _supervise(app: App, launch: Launch) -> None:
    """Runs until nothing of the launch runs and no order is open, with no await between that and being at
    rest."""
    try:
        if await _accept(app, launch):
            while not launch.orders.must_end:
                wait_s = await _try_once(app, launch)
                if wait_s is None:
                    break
                await _wait(launch, wait_s)
            while launch.orders.must_end:
                await _end(app, launch)
                if launch.orders.shut_down:
                    break
    except Exception as bug:  # nobody awaits this task: callers that wait for the launch must get the error
        log.exception("supervision broke: launch=%s", launch.name)
        error = NodeError(f"{type(bug).__name__}: {bug}", hint=TRACEBACK)
        launch.attempts.last_error = str(error)
        launch.progress.close()
        launch.orders.stop = launch.orders.forget = False
        launch.answer(error)
    finally:
        launch.task = None


async def _accept(app: App, launch: Launch) -> bool:
    """Stores a new launch: it is accepted only once it would survive a restart of the daemon."""
    if launch.accepted is None or launch.accepted.done():
        return True
    error = await persistence.save(app, launch)
    if error is None:
        launch.accepted.set_result(None)
        return True
    launch.apply(Event.GIVE_UP)
    launch.lifecycle.desired = launch.stored = launch.unsaved = False
    launch.attempts.last_error = str(error)
    launch.say(Step.FAILED, str(error), error=error)
    if app.launches.get(launch.name) is launch:
        del app.launches[launch.name]
        if launch.replaced is not None:
            app.launches[launch.name] = launch.replaced
    launch.answer(error)
    return False


async def _try_once(app: App, launch: Launch) -> float | None:
    """One attempt. Returns the seconds until the next one, ``None`` for no other."""
    launch.orders.retry = False
    attempt = launch.progress
    error = await _unless_ended(launch, _serve(app, launch))
    if error is None or launch.orders.must_end:
        return None
    if not await stop_engine(app, launch, error.in_full, why=error) or launch.orders.must_end:
        return None
    launch.attempts.last_error = error.in_full
    launch.attempts.failures += 1
    following = retry.next_try(
        error,
        _policy(app),
        failures=launch.attempts.failures,
        attended=launch.attempts.attended,
        planned=launch.plan is not None,
    )
    if following is None:
        await _give_up(app, launch, error, attempt)
        return None
    launch.attempts.restarts += 1
    then = f"next try in {following.wait_s:g} s"
    launch.apply(Event.LOOP if following.loops else Event.RETRY)
    if not attempt.ended:
        attempt.say(Step.FAILED, f"{error}; {then}", error=error)
    await persistence.save(app, launch)
    kind = "failing" if following.loops else "died"
    await app.events.append(kind, f"{error.in_full}; {then}", launch=launch.name)
    return following.wait_s


async def _unless_ended(launch: Launch, attempt: Coroutine[None, None, NodeError]) -> NodeError | None:
    """The error that ended ``attempt``; ``None`` if an order to end the launch interrupted it."""
    running = asyncio.create_task(attempt, name=f"serve {launch.name}")
    ordered = asyncio.create_task(launch.orders.until(lambda: launch.orders.must_end))
    try:
        await asyncio.wait({running, ordered}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ordered.cancel()
        running.cancel()
        await asyncio.wait({running})
    return None if running.cancelled() else running.result()


async def _serve(app: App, launch: Launch) -> NodeError:
    """Starts the engine and waits for its end. Returns the error that ended it."""
    try:
        if launch.engine is not None and (launch.engine.trial or launch.plan is None):  # of the last daemon
            await launch.engine.process.stop()
            await engine_gone(app, launch, "was a trial")
        if launch.engine is None:
            await bring_up(app, launch)
        else:
            await take_over(app, launch)
        launch.attempts.attended, launch.replaced = False, None
        return await _until_exit(app, launch)
    except NodeError as error:
        return error
    except Exception as bug:  # nobody awaits this task: a bug must become a state that an owner sees
        log.exception("launch broke: name=%s", launch.name)
        return NodeError(f"{type(bug).__name__}: {bug}", hint=TRACEBACK)


async def _until_exit(app: App, launch: Launch) -> EngineError:
    process = launch.process
    if process is None:
        raise RuntimeError(f"{launch.name} has no process to wait for")
    loop = asyncio.get_running_loop()
    began = loop.time()
    how = await process.wait()
    launch.apply(Event.EXIT)
    if loop.time() - began >= app.settings.restart_stable_s:
        launch.attempts.failures = 0
    error = await process.why()
    log.warning("engine ended unasked: launch=%s %s", launch.name, how)
    return error


async def _give_up(app: App, launch: Launch, error: NodeError, attempt: ProgressLog) -> None:
    """Stores first, then shows: whoever sees it given up may launch it again at once."""
    launch.lifecycle.desired = False
    if launch.plan is None or (launch.replaced is not None and launch.replaced.stored):
        await persistence.withdraw(app, launch)
    else:
        await persistence.update(app, launch, LaunchState.FAILED)
    await app.events.append("failed", error.in_full, launch=launch.name)
    launch.apply(Event.GIVE_UP)
    launch.port = None
    for progress in {attempt, launch.progress}:
        if not progress.ended:
            progress.say(Step.FAILED, str(error), error=error)


async def _wait(launch: Launch, wait_s: float) -> None:
    """Waits for the time of the next try, or for an order to try now or to end."""
    orders = launch.orders
    try:
        async with asyncio.timeout(wait_s):
            await orders.until(lambda: orders.retry or orders.must_end)
    except TimeoutError:
        pass
    if not orders.must_end:
        launch.apply(Event.ATTEMPT)
        if launch.progress.ended:
            launch.progress = ProgressLog()


async def _end(app: App, launch: Launch) -> None:
    """Carries out an order to end it. That it is no longer desired is stored first: if the daemon dies
    meanwhile, the next one must not serve it."""
    served, before = launch.state is LaunchState.READY, launch.state
    launch.apply(Event.STOP)
    await _note_stop(app, launch)
    if not await stop_engine(app, launch, "stopped"):
        return  # the daemon ends, and leaves an engine that can't be killed to the next one
    if not launch.orders.stop:
        launch.progress.close()
        launch.apply(Event.GONE)
        return
    error = await _store_the_stop(app, launch)
    if before is not LaunchState.STOPPED:
        await app.events.append("stopped", f"{launch.name} is stopped", launch=launch.name)
    launch.apply(Event.GONE)
    launch.port = None
    if served or not launch.progress.ended:
        launch.say(Step.STOPPED, f"{launch.name} is stopped")
    launch.orders.stop = launch.orders.forget = False
    launch.orders.answer_stop(error or launch.row())


async def _note_stop(app: App, launch: Launch) -> None:
    if launch.orders.stop and launch.lifecycle.desired:
        launch.lifecycle.desired = False
        await persistence.update(app, launch, launch.state)


async def _store_the_stop(app: App, launch: Launch) -> StateError | None:
    """The error if it could not be stored: its owner must know that the next daemon would serve it again."""
    if launch.orders.forget:
        try:
            await app.store.run(app.store.launches.forget, launch.name)
        except StateError as error:
            return error
        launch.stored = launch.unsaved = False
        if app.launches.get(launch.name) is launch:
            del app.launches[launch.name]
        return None
    unsaved = await persistence.update(app, launch, LaunchState.STOPPED)
    if unsaved is None:
        return None
    return StateError(
        f"{launch.name} is stopped, but that could not be stored: {unsaved}",
        hint="free some space on the disk of the state folder, then it is stored; "
        "a daemon that starts before that launches it again",
    )


async def stop_engine(app: App, launch: Launch, outcome: str, *, why: NodeError | None = None) -> bool:
    """Returns true once no engine of it is left, false if the daemon ends before that. One that can't be
    killed is waited for, with its memory still reserved; ``why`` it is stopped is reported first."""
    stuck = False
    while launch.engine is not None:
        try:
            await launch.engine.process.stop()
        except EngineError as error:
            answered = await _report_stuck(app, launch, error, why=error if stuck or why is None else why)
            stuck = True
            await _until_gone_or_ordered(launch, answered)
            await _note_stop(app, launch)
            if launch.orders.shut_down and launch.engine.process.alive:
                return False
        else:
            launch.engine = None
    app.ledger.release(launch.name)
    await engine_gone(app, launch, outcome)
    if stuck:
        await app.events.append("engine_gone", f"the engine of {launch.name} is gone", launch=launch.name)
    return True


async def _report_stuck(app: App, launch: Launch, error: EngineError, *, why: NodeError) -> int:
    """How many orders are answered by it. Whoever sees the error may order another stop at once: everything
    that waited for the failed one is answered by then."""
    launch.apply(Event.STUCK)
    if launch.attempts.last_error != error.in_full:
        await app.events.append("engine_stuck", error.in_full, launch=launch.name)
    launch.attempts.last_error = error.in_full
    if not launch.progress.ended:
        launch.say(Step.FAILED, str(why), error=why)
    launch.orders.answer_stop(error)
    return launch.orders.count


async def _until_gone_or_ordered(launch: Launch, answered: int) -> None:
    if launch.engine is None or launch.orders.shut_down:
        return
    gone = asyncio.ensure_future(launch.engine.process.wait())
    ordered = asyncio.ensure_future(launch.orders.until(lambda: launch.orders.count > answered))
    try:
        await asyncio.wait({gone, ordered}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        ordered.cancel()


def _policy(app: App) -> retry.RetryPolicy:
    settings = app.settings
    return retry.RetryPolicy(settings.restart_delay_s, settings.restart_delay_max_s, settings.restart_loop)
