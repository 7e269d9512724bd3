"""An event loop that a test turns by hand: one iteration a step, threads run inline, time moves when told."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any


class NoSelector:
    """Nothing comes from outside: no socket, no signal."""

    def select(self, timeout_s: float | None) -> list[object]:
        del timeout_s
        return []


class OrderedTask(asyncio.Task[Any]):
    """Sets of tasks are walked in the order of their creation, so that a run can be repeated."""

    def __init__(self, number: int, *args: Any, **options: Any) -> None:
        self.number = number
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self.number


class SteppedLoop(asyncio.base_events.BaseEventLoop):
    """What is handed to a thread runs in the iteration after. ``finish_cancelled``: also if nobody waits for
    it any more, as a thread does that had begun."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = NoSelector()
        self.now_s = 1000.0
        self.finish_cancelled = True
        self.broken: list[dict[str, Any]] = []
        numbers = itertools.count()
        self.set_task_factory(
            lambda loop, coroutine, **options: OrderedTask(next(numbers), coroutine, loop=loop, **options)
        )
        self.set_exception_handler(lambda _, context: self.broken.append(context))

    def _process_events(self, event_list: list[object]) -> None:
        assert event_list == []

    def _write_to_self(self) -> None:
        """There is no other thread that could wake it."""

    def time(self) -> float:
        return self.now_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        del executor
        future = self.create_future()

        def call() -> None:
            if future.cancelled() and not self.finish_cancelled:
                return
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - handed over, as a thread does
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_soon(call)
        return future

    def step(self) -> None:
        self.call_soon(self.stop)
        self.run_forever()

    @property
    def is_idle(self) -> bool:
        return not self._ready  # type: ignore[attr-defined]

    def advance(self) -> bool:
        """To the next timer; false where there is none."""
        timers = [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        if timers:
            self.now_s = max(self.now_s, min(timer.when() for timer in timers))
        return bool(timers)
