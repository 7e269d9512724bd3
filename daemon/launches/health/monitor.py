"""Looks after an engine that serves: returns when it does not work any more, with the reason."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace

from daemon.app import App
from daemon.launches.health import pace, policy
from daemon.launches.health.limits import CanaryTime, limits
from daemon.launches.health.pace import Drift, Pace
from daemon.launches.health.policy import Canary, Health
from daemon.launches.launch import Launch
from daemon.launches.start.answer_check import expected
from daemon.machine.snapshot import displayed
from daemon.planning.speed_history import pace_key
from domain.errors import EngineError
from domain.events import EventKind
from launchers.process.engine import EngineProcess
from launchers.readiness import ANSWER_TOKENS, Ready

log = logging.getLogger(__name__)

TOUCH_TOKENS = 1
HINT = "node-ctl logs shows its output"


def clock_s() -> float:
    return asyncio.get_running_loop().time()


async def watch(app: App, launch: Launch, process: EngineProcess) -> EngineError:
    """Returns once the engine is hung, answers garbage, or is slow for no reason but its own; never for one
    that works or has ended."""
    try:
        return await _Monitor(app, launch, process).run()
    finally:
        launch.looked_s = None


class _Monitor:
    def __init__(self, app: App, launch: Launch, process: EngineProcess) -> None:
        self._app, self._launch, self._process = app, launch, process
        self._limits = limits(app.settings, launch.plan, launch.ready)
        ready = launch.ready or Ready("")
        self._canary_time = CanaryTime(ready.decode_tokens_per_s, ready.prefill_tokens_per_s)
        self._start_rate = None if ready.unchecked else ready.decode_tokens_per_s
        self._drift = Drift()
        self._machine = app.hardware_cache.hardware  # as it was while the engine was as fast as it is

    async def run(self) -> EngineError:
        unchecked = self._launch.ready is None or self._launch.ready.unchecked
        canary = Canary(clock_s(), float("-inf") if unchecked else clock_s())
        health: Health | None = None
        while True:
            is_ordered = await self._next(0.0 if health is None else self._pause_s(health))
            try:
                health = await self._look(health, canary)
                health = policy.with_canary_due(health) if is_ordered else health
                self._launch.use.engine_s = health.client_s
                if policy.canary_due_s(health, clock_s(), self._limits) == 0:
                    health = await self._send_canary(health)
            except _SickError as sick:
                return sick
            except EngineError as error:
                if error.cause != "gone":
                    raise
                await asyncio.sleep(self._limits.busy_s)  # its end is seen by who waits for it

    async def _next(self, pause_s: float) -> bool:
        """Returns when a look is due: true if it was ordered, with a canary."""
        ordered = self._launch.check_now
        self._launch.looked_s = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(ordered.wait(), pause_s)
        is_ordered = ordered.is_set()
        ordered.clear()
        return is_ordered

    def _pause_s(self, health: Health) -> float:
        due_s = policy.canary_due_s(health, clock_s(), self._limits)
        pause_s = health.next_look_s(self._limits)
        return pause_s if due_s is None else min(pause_s, due_s)

    async def _look(self, health: Health | None, canary: Canary) -> Health:
        look = await self._process.look()
        if health is None:
            return Health.first(look, clock_s(), canary)
        seen = policy.after_look(health, look, clock_s(), self._limits)
        if seen.hung is not None:
            raise _SickError(f"it hangs: {seen.hung}", hint=HINT, cause="hung")
        return seen

    async def _send_canary(self, health: Health) -> Health:
        is_slow = self._drift.slow_s is not None
        is_answer = policy.asks_answer(health, clock_s(), self._limits, suspicious=is_slow)
        before = await asyncio.to_thread(self._app.adapters.cpu_pressure)
        kept = self._launch.conversations
        slot = None if kept is None else await kept.take_for_question()
        asking = asyncio.create_task(
            self._process.canary(None if is_answer else TOUCH_TOKENS, self._expect(), slot)
        )
        try:
            seen = await self._until_answered(health, asking, is_answer=is_answer)
            wrong = None if asking.done() else EngineError("it answers no question", cause="no_answer")
            if asking.done():
                wrong = await self._judge(asking, before if is_answer else None)
        finally:
            asking.cancel()
            await asyncio.wait({asking})
        seen = policy.after_canary(seen, clock_s(), is_answer=is_answer, passed=wrong is None)
        if wrong is not None and seen.canary.failures >= policy.FAILURES:
            raise _SickError(f"it is not well: {wrong.in_full}", hint=HINT, cause=wrong.cause)
        return seen

    async def _until_answered(
        self, health: Health, asking: "asyncio.Task[Ready]", *, is_answer: bool
    ) -> Health:
        """Looks on while the canary is out. One that waits behind others or for pages, or whose tokens come,
        has time."""
        limit_s = self._canary_time.limit_s(ANSWER_TOKENS if is_answer else TOUCH_TOKENS)
        moved_s, seen = clock_s(), health
        while not asking.done() and clock_s() - moved_s < limit_s:
            await asyncio.wait({asking}, timeout=min(self._limits.busy_s, limit_s))
            before, seen = seen, await self._look(seen, seen.canary)
            moved_s = clock_s() if policy.progressed(before, seen) else moved_s
        open_requests = 0 if seen.counted is None else seen.counted.open_requests
        if open_requests > (not asking.done()):
            return seen
        return replace(seen, client_s=health.client_s)  # what moved was the canary's

    async def _judge(self, asked: "asyncio.Task[Ready]", before: object) -> EngineError | None:
        """What is wrong with its answer; ``None`` for a good one, or one that was not checked."""
        error = asked.exception()
        if error is not None:
            if not isinstance(error, EngineError):
                raise error
            return error
        rate = asked.result().decode_tokens_per_s
        plan = self._launch.plan
        if rate is None or plan is None:
            return None
        cause = await self._cause(before)
        if pace.is_broken(self._start_rate, rate, cause):
            await displayed(self._app, fresh=True)  # bounded: a driver may hang
            cause = await self._cause(before)
        if pace.is_broken(self._start_rate, rate, cause):
            return EngineError(
                f"it generates {rate:.2g} tokens/s, {self._start_rate:.2g} at its start", cause="slow"
            )
        await self._keep_pace(pace_key(plan), rate, cause)
        return None

    async def _keep_pace(self, key: str, rate: float, cause: str | None) -> None:
        """Stores its speed; a drift that lasts, and its end, are events."""
        store, name = self._app.store, self._launch.name
        known = await store.recall(Pace, key) or Pace(self._start_rate or rate)
        drift = pace.after_measured(self._drift, known, rate, clock_s())
        was_told, self._drift = self._drift.told, drift
        if drift.told and not was_told:
            words = f"{name} is slow: {pace.in_words(known, rate, cause)}"
            await self._app.events.append(EventKind.SLOW, words, launch=name)
        if was_told and not drift.told:
            words = f"{name} is as fast as before: {rate:.3g} tokens/s"
            await self._app.events.append(EventKind.FAST_AGAIN, words, launch=name)
        if drift.slow_s is None:
            await store.record(key, known.with_measured(rate))

    async def _cause(self, before: object) -> str | None:
        after = await asyncio.to_thread(self._app.adapters.cpu_pressure)
        stalled = after.stalled_share(before) if after and isinstance(before, type(after)) else None
        return pace.likely_cause(self._machine, self._app.hardware_cache.hardware, stalled)

    def _expect(self) -> str | None:
        plan = self._launch.plan
        return None if plan is None else expected(self._app.catalogue, plan)


class _SickError(EngineError):
    """Ends the watch."""
