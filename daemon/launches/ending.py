"""Ends what runs of a launch, and stores that it was stopped. Called by its supervisor alone."""

import asyncio

from daemon.app import App
from daemon.launches import persistence
from daemon.launches.demand import memory
from daemon.launches.launch import Launch
from daemon.launches.start.engine import engine_gone
from daemon.launches.state_machine import Event
from domain.errors import EngineError, NodeError, StateError
from domain.events import EventKind
from domain.launches.launch import LaunchState, Step
from launchers.process import unit
from launchers.sandbox import scratch

STOP_AGAIN_S = 0.1


async def end(app: App, launch: Launch) -> None:
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
    what = f"{launch.name} is stopped"
    if (why := launch.orders.until_asked) is not None:
        what = f"{what} until a request comes: {why}"
    if before is not LaunchState.STOPPED:
        await app.events.append(EventKind.STOPPED, what, launch=launch.name)
    launch.apply(Event.GONE)
    launch.port = None
    if served or not launch.progress.ended:
        launch.say(Step.STOPPED, what)
    launch.orders.stop = launch.orders.forget = False
    launch.orders.until_asked = None
    launch.orders.answer_stop(error or launch.row())


async def _note_stop(app: App, launch: Launch) -> None:
    if launch.orders.stop and launch.lifecycle.desired:
        launch.lifecycle.desired, launch.replaced = False, None
        launch.parked = launch.orders.until_asked is not None
        await persistence.update(app, launch, launch.state)


async def _store_the_stop(app: App, launch: Launch) -> StateError | None:
    """The error if it could not be stored: its owner must know that the next daemon would serve it again."""
    if launch.orders.forget:
        try:
            await app.store.run(app.store.launches.forget, launch.name)
        except StateError as error:
            return error
        launch.stored = launch.unsaved = False
        await asyncio.to_thread(scratch.remove, app.scratch_path(launch.name))
        await app.store.run(app.store.conversations.forget, launch.name)
        await asyncio.to_thread(unit.forget, launch.name)
        if app.launches.get(launch.name) is launch:
            del app.launches[launch.name]
        return None
    launch.parked = launch.orders.until_asked is not None  # its owner may have stopped it meanwhile
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
    if launch.conversations is not None and launch.engine is not None:
        await _close_conversations(launch, saves=why is None)
    shown = memory.snapshot_with(app, launch)
    while launch.engine is not None:
        try:
            await launch.engine.process.stop()
        except EngineError as error:
            answered = await _report_stuck(app, launch, error, why=error if stuck or why is None else why)
            stuck = True
            await _until_gone_or_ordered(launch, answered)
            await _note_stop(app, launch)
            if launch.orders.shut_down:  # what is left of it is the next daemon's to find
                return False
        else:
            launch.engine = None
    app.ledger.release(launch.name)
    if not launch.orders.shut_down:
        memory.expect_back(app, launch, shown)
    await engine_gone(app, launch, outcome)
    if stuck:
        await app.events.append(
            EventKind.ENGINE_GONE, f"the engine of {launch.name} is gone", launch=launch.name
        )
    return True


async def _close_conversations(launch: Launch, *, saves: bool) -> None:
    """One that is sick, or has ended, can't be asked to save them: what was copied before is restored."""
    if launch.conversations is None:
        return
    if saves and launch.process is not None and launch.process.alive:
        await launch.conversations.save_all()
    launch.conversations.close()


async def _report_stuck(app: App, launch: Launch, error: EngineError, *, why: NodeError) -> int:
    """How many orders are answered by it. Whoever sees the error may order another stop at once: everything
    that waited for the failed one is answered by then."""
    launch.apply(Event.STUCK)
    if launch.attempts.last_error != error.in_full:
        await app.events.append(EventKind.ENGINE_STUCK, error.in_full, launch=launch.name)
    launch.attempts.last_error = error.in_full
    if not launch.progress.ended:
        launch.say(Step.FAILED, str(why), error=why)
    launch.orders.answer_stop(error)
    launch.orders.answer_restart(error)
    return launch.orders.count


async def _until_gone_or_ordered(launch: Launch, answered: int) -> None:
    if launch.engine is None or launch.orders.shut_down:
        return
    gone = asyncio.ensure_future(launch.engine.process.wait())
    ordered = asyncio.ensure_future(launch.orders.until(lambda: launch.orders.count > answered))
    try:
        await asyncio.wait({gone, ordered}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            await asyncio.sleep(STOP_AGAIN_S)  # what is gone may still fail to be stopped
    finally:
        gone.cancel()
        ordered.cancel()
