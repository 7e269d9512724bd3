"""What the actions of schedules do: the orders that node-ctl gives, and what came of them in words."""

from collections.abc import AsyncIterator, Awaitable, Callable

from daemon.app import App
from daemon.launches import service
from daemon.launches.proof.prove import begin, prove
from daemon.state.records import now
from daemon.weights import service as weights
from daemon.weights.verify import verify
from domain.errors import NodeError
from domain.launches.launch import Progress, Step
from domain.launches.schedule import Action, ScheduleRequest
from domain.units import gib


async def perform(app: App, request: ScheduleRequest, *, is_end: bool) -> str:
    """The result in words. Raises: NodeError."""
    if request.action is Action.SWAP:
        before, after = reversed(request.names) if is_end else request.names
        return await _each([(before, _stopped), (after, _started)], app)
    if request.action in (Action.START, Action.STOP):
        starts = (request.action is Action.START) != is_end
        return await _each([(name, _started if starts else _stopped) for name in request.names], app)
    if request.action is Action.PROVE:
        return await _each([(name, _proved) for name in request.names], app)
    if request.action is Action.VERIFY:
        return await _verified(app, request.names)
    if request.action is Action.GC:
        return await _made_room(app, request.free_bytes)
    return "downloads wait from now on" if is_end else "downloads may run from now on"


async def _each(orders: list[tuple[str, Callable[[App, str], Awaitable[str]]]], app: App) -> str:
    """One after another; one that fails holds up none of the others. Raises: NodeError with all results."""
    results, failures = [], 0
    for name, order in orders:
        try:
            results.append(await order(app, name))
        except NodeError as error:
            results.append(f"{name}: {error}")
            failures += 1
    if failures:
        raise NodeError("; ".join(results), hint="node-ctl events tells more")
    return "; ".join(results)


async def _started(app: App, name: str) -> str:
    launch, _ = await service.start(app, name)
    last = await _last(launch.progress.follow())
    return f"{name} is being started" if last is None else last.message


async def _stopped(app: App, name: str) -> str:
    await service.stop(app, name)
    return f"{name} is stopped"


async def _proved(app: App, name: str) -> str:
    launch, target_tokens = begin(app, name, None)
    last = await _last(prove(app, launch, target_tokens))
    return f"{name} was being proved" if last is None else last.message


async def _last(steps: AsyncIterator[Progress]) -> Progress | None:
    """The last of ``steps``. Raises: NodeError for one that failed."""
    last: Progress | None = None
    async for step in steps:
        last = step
    if last is not None and last.step is Step.FAILED:
        raise NodeError(last.message, hint=last.hint or "")
    return last


async def _verified(app: App, names: tuple[str, ...]) -> str:
    begun = now()
    for name in names or (None,):
        async for _ in verify(app, name):
            pass
    checked = [row for row in await weights.rows(app) if (row.verified_at or "") >= begun]
    damaged = [row.model for row in checked if row.damaged]
    if damaged:
        raise NodeError(f"damaged: {', '.join(damaged)}", hint="node-ctl pull fetches them again")
    return f"{len(checked)} verified, none is damaged"


async def _made_room(app: App, free_bytes: int | None) -> str:
    freed = await weights.make_room(app, free_bytes=free_bytes, dry_run=False)
    removed = ", ".join(freed.models) or "no weights"
    short = f", {gib(freed.short_bytes)} less than wanted" if freed.short_bytes else ""
    return f"{removed} removed, {gib(freed.freed_bytes)}; {gib(freed.free_bytes)} are free{short}"
