"""What was desired is restored here, one thing at a time, while the API answers.

Engines that still run are adopted first, then launches with a plan, other launches, pulls. What the previous
daemon may have died of comes last and alone: if this one dies, too, it is known of what.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from daemon.app import App
from daemon.interruption import is_end_of_task
from daemon.launches.launch import Launch
from daemon.launches.restore import find_survivors
from daemon.machine import bandwidth, snapshot
from daemon.quarantine.verdict import reason
from daemon.state.records import WorkKey, WorkKind
from daemon.weights.transfers import Pull
from domain.events import EventKind
from domain.launches.serving import Policy

log = logging.getLogger(__name__)

TURN_S = 20.0  # what takes longer, a hub that is slow to answer for one, goes on beside the next


@dataclass(frozen=True, slots=True)
class Turn:
    """``is_waiting``: its owner has neither begun nor stopped it meanwhile."""

    key: WorkKey
    name: str
    is_waiting: Callable[[], bool]
    give: Callable[[], None]
    explain: Callable[[str], None] | None = None  # a pull says only once that it waits


@asynccontextmanager
async def restoring(app: App) -> AsyncIterator[None]:
    """Turns are given while the block runs. It ends once it is known which engines run: they must be
    stopped."""
    task = asyncio.create_task(restore(app), name="restore")
    try:
        yield
    finally:
        await app.survivors_known.wait()
        task.cancel()
        await asyncio.wait({task})


async def restore(app: App) -> None:
    """Returns once all had their turn. Whatever breaks, nothing is left waiting."""
    await _tried(app, _give_turns, "restoring one at a time")
    for turn in _turns(app):
        turn.give()


async def _give_turns(app: App) -> None:
    await _tried(app, find_survivors, "finding the engines that run")
    await _report_jobs(app)
    _forget_gone(app)
    _leave_stopped(app)
    turns = [turn for turn in _turns(app) if turn.key not in app.in_flight.suspects]
    adopted = [turn for turn in turns if _has_engine(app, turn)]
    suspects = [turn for turn in _turns(app) if turn.key in app.in_flight.suspects]
    for turn in suspects:
        why = reason(app.in_flight.suspects[turn.key])
        _explain(turn, f"its turn to be restored, alone and last: {why}")
    await _in_turn(app, adopted, [turn for turn in turns if turn not in adopted])
    first_look = asyncio.create_task(_tried(app, snapshot.refresh, "reading the hardware"))
    try:
        await asyncio.wait({first_look}, timeout=TURN_S)
        await _in_turn(app, [turn for turn in turns if turn not in adopted], ())
        await _alone(app, turns, suspects)
        await _tried(app, bandwidth.measure_read_rate, "measuring the read rate of the disk")
    finally:
        first_look.cancel()


async def _in_turn(app: App, turns: Sequence[Turn], later: Sequence[Turn]) -> None:
    for number, turn in enumerate(turns):
        for waiting in (*turns[number + 1 :], *later):
            _explain(waiting, f"its turn to be restored, after {turn.name}")
        _begin(app, turn)
        with suppress(TimeoutError):
            async with asyncio.timeout(TURN_S):
                await app.in_flight.until_turn_over(turn.key)


async def _alone(app: App, others: Iterable[Turn], suspects: Sequence[Turn]) -> None:
    """Those with fewer deaths first: they are likelier to be innocent."""
    found = app.in_flight.suspects
    for turn in others if suspects else ():
        await app.in_flight.until_over(turn.key)
    for turn in sorted(suspects, key=lambda one: (found[one.key].deaths, found[one.key].reboots)):
        _begin(app, turn)
        await app.in_flight.until_over(turn.key)


def _explain(turn: Turn, waits_for: str) -> None:
    if turn.explain is not None and turn.is_waiting():
        turn.explain(waits_for)


def _begin(app: App, turn: Turn) -> None:
    if turn.is_waiting():
        app.in_flight.expect(turn.key)
        turn.give()


async def _tried(app: App, step: Callable[[App], Awaitable[object]], what: str) -> None:
    """Whatever comes of ``step``, the rest goes on."""
    try:
        await step(app)
    except BaseException as bug:  # whatever it is: what waits for its turn must get it
        if is_end_of_task(bug):
            raise
        log.exception("restore: %s failed", what)
        await app.events.append(EventKind.RESTORE_FAILED, f"{what} failed: {type(bug).__name__}: {bug}")


def _leave_stopped(app: App) -> None:
    """What is not always served, and whose engine is gone: a request or its owner starts it again."""
    for launch in app.launches.values():
        if launch.waiting is None or launch.engine is not None or launch.serving.policy is Policy.ALWAYS:
            continue
        on_demand = launch.serving.policy is Policy.ON_DEMAND
        launch.orders.give_stop(forget=False, until_asked="the daemon was started" if on_demand else None)


def _forget_gone(app: App) -> None:
    """The daemon died after it had deleted their rows, and before it had struck them out here."""
    there = {launch.key for launch in app.launches.values()} | {pull.key for pull in app.pulls.values()}
    for key in (*app.in_flight.suspects, *app.in_flight.poison):
        if key.kind is not WorkKind.JOB and key not in there:
            app.in_flight.end(key)


async def _report_jobs(app: App) -> None:
    for work in app.in_flight.poison.values():
        if work.key.kind is WorkKind.JOB:
            message = f"{work.key.name}: not done any more until the next boot: {reason(work)}"
            await app.events.append(EventKind.QUARANTINED, message)


def _turns(app: App) -> Iterator[Turn]:
    """Launches with a plan first: they need no hub."""
    waiting = [one for one in app.launches.values() if _waits(one)]
    for launch in sorted(waiting, key=lambda one: one.plan is None):
        yield _turn_of_launch(launch)
    for pull in app.pulls.values():
        if not pull.turn.is_set() and pull.key not in app.in_flight.poison:
            yield _turn_of_pull(pull)


def _waits(launch: Launch) -> bool:
    return launch.waiting is not None and launch.poison is None and not launch.orders.must_end


def _turn_of_launch(launch: Launch) -> Turn:
    def is_waiting() -> bool:
        return launch.waiting is not None and launch.task is not None

    def explain(what: str) -> None:
        launch.waiting = what

    return Turn(launch.key, launch.name, is_waiting, launch.orders.give_retry, explain)


def _turn_of_pull(pull: Pull) -> Turn:
    def is_waiting() -> bool:
        return not pull.turn.is_set() and not pull.is_over

    return Turn(pull.key, f"pull {pull.id}", is_waiting, pull.turn.set)


def _has_engine(app: App, turn: Turn) -> bool:
    launch = app.launches.get(turn.key.name)
    return turn.key.kind is WorkKind.LAUNCH and launch is not None and launch.engine is not None
