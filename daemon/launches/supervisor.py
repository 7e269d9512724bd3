"""Owns one launch: starts it, waits for its end, starts it again, and ends it when it is ordered to.

All changes of a launch are made here, in one task; others give it orders.
"""

import asyncio
import logging

from daemon.app import App
from daemon.events.progress_log import ProgressLog
from daemon.interruption import is_end_of_task
from daemon.launches import persistence, retry
from daemon.launches.ending import end, stop_engine
from daemon.launches.health.monitor import watch
from daemon.launches.ladder import descent
from daemon.launches.launch import Launch
from daemon.launches.proof import failure
from daemon.launches.start.engine import engine_gone
from daemon.launches.start.pipeline import bring_up, take_over
from daemon.launches.state_machine import Event
from daemon.launches.waiting import unless_ended, until_next_try, until_released
from domain.errors import BusyError, EngineError, NodeError
from domain.events import EventKind
from domain.launches.launch import LaunchState, Step
from launchers.process.engine import EngineProcess

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
            await _until_turn(app, launch)
            await _keep(app, launch)
        persistence.put_back(app, launch)
    except BaseException as bug:  # whatever it is: nobody awaits this task, and the launch needs a state
        if is_end_of_task(bug):
            raise
        await _broke(app, launch, bug)
    finally:
        launch.task = None
        app.in_flight.end(launch.key)
        hint = f"node-ctl start {launch.name}"
        launch.orders.answer_restart(BusyError(f"{launch.name} ended before it was restarted", hint=hint))


async def _keep(app: App, launch: Launch) -> None:
    if launch.poison is not None:
        await _quarantine(app, launch, launch.poison)
        if not launch.orders.must_end:
            return
    await until_released(app, launch)
    while not launch.orders.must_end:
        wait_s = await _try_once(app, launch)
        if wait_s is None:
            break
        await until_next_try(launch, wait_s)
        await until_released(app, launch)
    while launch.orders.must_end:
        await end(app, launch)
        if launch.orders.shut_down:
            break


async def _until_turn(app: App, launch: Launch) -> None:
    """Of a launch that is restored: until those before it are, or its owner does not wait for that. Nothing
    of any launch begins or ends before it is known whose engines run."""
    await app.survivors_known.wait()
    orders = launch.orders
    if launch.waiting is not None and launch.poison is None:
        await orders.until(lambda: orders.retry or orders.restart or orders.must_end)
    launch.waiting = None


async def _quarantine(app: App, launch: Launch, error: NodeError) -> None:
    """The daemon died of it, so it is not begun again; its engine ends, if it runs."""
    if await stop_engine(app, launch, "quarantined", why=error) and not launch.orders.must_end:
        launch.poison = None
        launch.attempts.last_error = f"{error}; {error.hint}"
        await _give_up(app, launch, error, launch.progress, kind=EventKind.QUARANTINED)


async def _broke(app: App, launch: Launch, bug: BaseException) -> None:
    """A bug in supervision: the launch has failed, and its owner is told. It stays desired in the state, so
    that the next daemon tries it again."""
    log.error("supervision broke: launch=%s", launch.name, exc_info=bug)
    error = _bug_error(bug)
    try:
        await app.events.append(EventKind.FAILED, f"its supervision broke: {error}", launch=launch.name)
        await stop_engine(app, launch, str(error))
    except BaseException as second:  # what broke before may break again
        if is_end_of_task(second):
            raise
        log.exception("what is left of it is not ended: launch=%s", launch.name)
    launch.apply(Event.STOP)  # allowed in every state, as GIVE_UP is after it
    launch.apply(Event.GIVE_UP)
    launch.attempts.last_error = str(error)
    if not launch.progress.ended:
        launch.say(Step.FAILED, str(error), error=error)
    launch.orders.stop = launch.orders.forget = False
    launch.answer(error)


def _bug_error(bug: BaseException) -> NodeError:
    return NodeError(f"{type(bug).__name__}: {bug}", hint=TRACEBACK)


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
    launch.withdrawn = True
    launch.attempts.last_error = str(error)
    launch.say(Step.FAILED, str(error), error=error)
    launch.answer(error)
    return False


async def _try_once(app: App, launch: Launch) -> float | None:
    """One attempt. Returns the seconds until the next one, ``None`` for no other."""
    launch.orders.retry = False
    attempt = launch.progress
    error = await unless_ended(launch, _serve(app, launch))
    app.in_flight.end(launch.key)
    await failure.note(app, launch, error)
    if launch.orders.must_end:
        return None
    if error is None or launch.orders.restart:
        return await _begin_again(app, launch)
    if not await stop_engine(app, launch, error.in_full, why=error) or launch.orders.must_end:
        return None
    launch.attempts.last_error = error.in_full
    launch.attempts.failures += 1
    if not launch.attempts.attended:
        await descent.descend(app, launch, error)
    following = retry.next_try(
        error,
        retry.RetryPolicy.of(app.settings),
        failures=launch.attempts.failures,
        attended=launch.attempts.attended or launch.attempts.for_request,
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
    kind = EventKind.FAILING if following.loops else EventKind.DIED
    await app.events.append(kind, f"{error.in_full}; {then}", launch=launch.name)
    return following.wait_s


async def _begin_again(app: App, launch: Launch) -> float | None:
    """Carries out an order to restart it, or to hold it. Returns as ``_try_once``: 0, once its engine has
    ended."""
    kind, what = EventKind.RESTARTED, f"{launch.name} is restarted"
    if not launch.orders.restart:
        kind, what = EventKind.HELD, f"{launch.name} is unloaded and waits for {launch.waits_for}"
    launch.apply(Event.STOP)
    if not launch.progress.ended:
        launch.say(Step.STOPPED, what)
    launch.progress = ProgressLog()  # that of the next start
    if not await stop_engine(app, launch, kind.value) or launch.orders.must_end:
        return None
    await app.events.append(kind, what, launch=launch.name)
    launch.apply(Event.ATTEMPT)
    if launch.progress.ended:  # its engine could not be killed at once
        launch.progress = ProgressLog()
    launch.attempts.failures, launch.orders.restart = 0, False
    launch.orders.answer_restart()
    return 0.0


async def _serve(app: App, launch: Launch) -> NodeError:
    """Starts the engine and waits for its end. Returns the error that ended it."""
    try:
        if launch.engine is not None and (launch.engine.trial or launch.plan is None):  # of the last daemon
            await launch.engine.process.stop()
            await engine_gone(app, launch, "was a trial")
        launch.ladder = await descent.recall(app, launch)
        if launch.engine is None:
            await app.in_flight.begin(launch.key, f"planning {launch.name}")
            await bring_up(app, launch)
        else:
            await app.in_flight.begin(launch.key, f"adopting the engine of {launch.name}")
            await take_over(app, launch)
        launch.attempts.attended = launch.attempts.for_request = False
        return await _until_exit(app, launch)
    except NodeError as error:
        return error
    except BaseException as bug:  # whatever it is must become a state that an owner sees
        if is_end_of_task(bug):
            raise
        log.exception("launch broke: name=%s", launch.name)
        return _bug_error(bug)


async def _until_exit(app: App, launch: Launch) -> EngineError:
    process = launch.process
    if process is None:
        raise RuntimeError(f"{launch.name} has no process to wait for")
    loop = asyncio.get_running_loop()
    began = loop.time()
    sick = await _until_sick(app, launch, process)
    launch.apply(Event.EXIT)
    if loop.time() - began >= app.settings.restart_stable_s:
        launch.attempts.failures = 0
    if sick is not None:
        await app.events.append(
            EventKind.UNHEALTHY, f"{launch.name}: {sick}; it is ended", launch=launch.name
        )
        return sick
    error = await process.why()
    log.warning("engine ended unasked: launch=%s %s", launch.name, error.in_full)
    return error


async def _until_sick(app: App, launch: Launch, process: EngineProcess) -> EngineError | None:
    """What is wrong with an engine that runs; ``None`` once it has ended."""
    watching = asyncio.create_task(watch(app, launch, process), name=f"health of {launch.name}")
    ending = asyncio.create_task(process.wait())
    try:
        await asyncio.wait({watching, ending}, return_when=asyncio.FIRST_COMPLETED)
        return None if ending.done() else watching.result()
    finally:
        watching.cancel()
        ending.cancel()
        await asyncio.wait({watching, ending})


async def _give_up(
    app: App, launch: Launch, error: NodeError, attempt: ProgressLog, *, kind: EventKind = EventKind.FAILED
) -> None:
    """Stores first, then shows: whoever sees it given up may launch it again at once."""
    launch.lifecycle.desired = False
    replaced = launch.replaced
    launch.use.failed_s = asyncio.get_running_loop().time()
    was_planned = launch.plan is not None or kind is EventKind.QUARANTINED
    for_request = launch.attempts.for_request
    if for_request and replaced is not None:
        replaced.attempts.failures, replaced.attempts.last_error = launch.attempts.failures, error.in_full
    if for_request or not was_planned or (replaced is not None and replaced.stored and replaced.was_served):
        await persistence.withdraw(app, launch)
    else:
        launch.replaced = None
        await persistence.update(app, launch, LaunchState.FAILED)
    await app.events.append(kind, error.in_full, launch=launch.name)
    launch.apply(Event.GIVE_UP)
    launch.port = None
    for progress in {attempt, launch.progress}:
        if not progress.ended:
            progress.say(Step.FAILED, str(error), error=error)
