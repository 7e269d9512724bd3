"""Fills the context of a launch that serves, measures on the way, and stores the depth that it held.

It is one client among others: a piece of text at a time, and none while others are answered.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import httpx

from daemon.app import App
from daemon.launches import service
from daemon.launches.launch import Launch
from daemon.launches.proof.failure import merged
from daemon.launches.proof.run import ProofRun
from daemon.planning import context_proofs
from daemon.planning.builds import engine_of
from daemon.planning.speed_history import record_depths
from daemon.state.records import now
from domain.errors import BusyError, EngineError, NodeError, UsageError
from domain.events import EventKind
from domain.launches.launch import LaunchState, Progress, Step
from domain.launches.plan import HOST, Plan
from domain.launches.proof import ContextProof, DepthFigures
from domain.units import duration, gib, rate
from launchers import readiness
from launchers.command import Command
from launchers.process.engine import EngineProcess
from launchers.process.procfs import held_bytes
from launchers.trials import depth

T = TypeVar("T")

DEPTHS = 4
SHARE = 0.9  # of the window; the rest is left for answers
LEFT_TOKENS = 2 * depth.DECODED_TOKENS  # of the window, behind the deepest text
LEAST_DEPTH_TOKENS = 4 * depth.LEAST_PIECE_TOKENS
IDLE_POLL_S = 0.5
BUSY_LIMIT_S = 300.0
PIECE_LIMIT_S = 900.0
EXIT_SOON_S = 3.0  # after the connection broke
OUTCOME_S = 60.0


def begin(app: App, name: str, depth_tokens: int | None) -> tuple[Launch, int]:
    """The launch and the depth to prove. Raises: UnknownLaunchError, BusyError, UsageError."""
    launch = service.get(app, name)
    if launch.state is not LaunchState.READY or launch.plan is None or launch.process is None:
        raise BusyError(
            f"{name} is {launch.state}: only a launch that serves can be proved",
            hint=f"node-ctl start {name}, then prove it",
        )
    if launch.plan.weights.kind.is_pooled:
        raise UsageError(
            f"{name} keeps no context: it answers one text at a time",
            hint="prove a launch that generates text",
        )
    if launch.proof_run is not None:
        raise _proved_already(name)
    return launch, _target(name, _window(launch, launch.plan), depth_tokens)


def _proved_already(name: str) -> BusyError:
    return BusyError(f"{name} is being proved already", hint="node-ctl events tells its result")


def _ended(name: str) -> BusyError:
    return BusyError(f"{name} has just ended", hint=f"node-ctl start {name}, then prove it")


def _window(launch: Launch, plan: Plan) -> int:
    loaded = launch.loaded_context_tokens
    return min(plan.context_tokens, loaded or plan.context_tokens)


def _target(name: str, window: int, depth_tokens: int | None) -> int:
    target = int(SHARE * window) if depth_tokens is None else depth_tokens
    most = window - LEFT_TOKENS
    if not LEAST_DEPTH_TOKENS <= target <= most:
        raise UsageError(
            f"{name} can't be proved to a depth of {target} tokens: its context has {window}",
            hint=f"give a --depth from {LEAST_DEPTH_TOKENS} to {most}"
            if most >= LEAST_DEPTH_TOKENS
            else f"serve it with a --context of {2 * LEAST_DEPTH_TOKENS} or more",
        )
    return target


async def prove(app: App, launch: Launch, target_tokens: int) -> AsyncIterator[Progress]:
    """The steps, the last of them DONE or FAILED. Ends without a result when its reader stops: the engine
    goes on serving. Nothing has begun before the first step is read: its reader may be gone by then."""
    process, plan = launch.process, launch.plan
    if launch.proof_run is not None or process is None or plan is None:
        yield _failed(_proved_already(launch.name) if process is not None else _ended(launch.name))
        return
    run = launch.proof_run = ProofRun()
    try:
        yield _said(Step.PROVE, _intent(launch, target_tokens))
        if launch.conversations is not None:
            await launch.conversations.take_all()
        async with readiness.client(process.command) as http:
            async for step in _filled(http, process.command, run, target_tokens):
                yield step
        yield _said(Step.DONE, await _store(app, launch, plan, run))
    except BusyError as error:
        yield _failed(error)
    except EngineError as error:
        yield _failed(await _engine_failed(app, launch, process, run, error))
    finally:
        if launch.proof_run is run:
            launch.proof_run = None


def _intent(launch: Launch, target_tokens: int) -> str:
    what = f"filling the context of {launch.name} to {target_tokens} tokens"
    rate = launch.ready.prefill_tokens_per_s if launch.ready else None
    return f"{what}, which takes {duration(target_tokens / rate)} or more" if rate else what


async def _filled(
    http: httpx.AsyncClient, command: Command, run: ProofRun, target_tokens: int
) -> AsyncIterator[Progress]:
    """Raises: BusyError, EngineError."""
    async for step in _idle(http, command):
        yield step
    text = await depth.generate_text(http, command, target_tokens)
    filled, next_tokens = 0, depth.FIRST_PIECE_TOKENS
    for number in range(1, DEPTHS + 1):
        wanted = target_tokens * number // DEPTHS
        begun, read_s = filled, 0.0
        while filled < wanted:
            async for step in _idle(http, command):
                yield step
            count = min(next_tokens, wanted - filled)
            run.trying_tokens = filled + count
            piece = await _within_limit(depth.fill(http, command, text[: filled + count], count))
            run.trying_tokens = None
            filled, next_tokens, read_s = filled + count, piece.next_tokens, read_s + piece.prefill_s
            if filled < wanted:
                share = 100 * filled // target_tokens
                yield _said(Step.PROVE, f"{filled} of {target_tokens} tokens ({share} %)")
        run.trying_tokens = filled
        decode = await _within_limit(depth.measure_decode(http, command, text[:filled]))
        run.trying_tokens = None
        figures = DepthFigures(filled, decode, (filled - begun) / read_s if read_s > 0 else None)
        run.figures.append(figures)
        yield _said(Step.PROVE, _described(figures))


async def _idle(http: httpx.AsyncClient, command: Command) -> AsyncIterator[Progress]:
    """Returns once no other request is answered, or where the engine does not tell. Raises: BusyError."""
    until, told = time.monotonic() + BUSY_LIMIT_S, False
    while count := await depth.count_requests(http):
        if time.monotonic() > until:
            raise BusyError(
                f"{command.served_name} was busy for {BUSY_LIMIT_S:.0f} s, {count} requests now",
                hint="prove it at a quiet hour",
            )
        if not told:
            told = True
            others = "another request is" if count == 1 else f"{count} other requests are"
            yield _said(Step.PROVE, f"waiting until {others} answered")
        await asyncio.sleep(IDLE_POLL_S)


async def _within_limit(call: Awaitable[T]) -> T:
    """Raises: EngineError, also for an engine that takes too long."""
    try:
        async with asyncio.timeout(PIECE_LIMIT_S):
            return await call
    except TimeoutError:
        raise EngineError(
            f"the engine did not answer within {PIECE_LIMIT_S:.0f} s", cause="timeout"
        ) from None


async def _store(app: App, launch: Launch, plan: Plan, run: ProofRun) -> str:
    """Stores the proof and its speeds; what it says in words."""
    held = None if launch.pid is None else await asyncio.to_thread(held_bytes, launch.pid)
    planned = next((row.needed_bytes for row in plan.memory if row.device == HOST), None)
    proof = ContextProof(
        at=now(),
        planned_tokens=plan.context_tokens,
        loaded_tokens=launch.loaded_context_tokens,
        proven_tokens=run.figures[-1].depth_tokens,
        figures=tuple(run.figures),
        host_held_bytes=held,
        host_planned_bytes=planned,
    )
    launch.proof = merged(proof, await context_proofs.recall(app, plan))
    await context_proofs.record(app, plan, launch.proof)
    caps = await asyncio.to_thread(engine_of, app, plan)
    await record_depths(app, plan, proof.figures, caps)
    message = f"{launch.name} is proven to a depth of {proof.proven_tokens} tokens, {_memory(held, planned)}"
    await app.events.append(EventKind.PROVEN, message, launch=launch.name)
    return message


def _memory(held: int | None, planned: int | None) -> str:
    if held is None or planned is None:
        return "its memory is unknown"
    return f"it holds {gib(held)} of RAM, {gib(planned)} were planned"


def _described(figures: DepthFigures) -> str:
    decode, prefill = figures.decode_tokens_per_s, figures.prefill_tokens_per_s
    return f"at {figures.depth_tokens} tokens: decode {rate(decode)}, prompt {rate(prefill)} tokens/s"


async def _engine_failed(
    app: App, launch: Launch, process: EngineProcess, run: ProofRun, error: EngineError
) -> EngineError:
    """Waits for what its supervisor makes of it; an engine that runs and does not answer is restarted, if it
    answered before."""
    if process.alive and run.trying_tokens is None:
        return error
    if process.alive and not run.over.is_set():
        try:
            async with asyncio.timeout(EXIT_SOON_S):
                await process.wait()
        except TimeoutError:
            run.failure = error.in_full
            with suppress(NodeError):  # its supervisor may have seen its end by now
                await service.restart(app, launch.name)
    with suppress(TimeoutError):
        async with asyncio.timeout(OUTCOME_S):
            await run.over.wait()
    if not run.over.is_set():
        return error
    if run.outcome is None:
        return EngineError(f"{launch.name} was stopped or restarted while it was proved", cause="stopped")
    return EngineError(
        run.outcome,
        hint=f"node-ctl ps shows when it serves again, node-ctl logs {launch.name} its output",
        cause=error.cause,
    )


def _said(step: Step, message: str) -> Progress:
    return Progress(step, message, time.time())


def _failed(error: BusyError | EngineError) -> Progress:
    return replace(_said(Step.FAILED, str(error)), code=error.code, hint=error.hint, line=error.engine_output)
