"""The progress of a launch or a pull: kept in memory, replayed to late followers, followed to its end."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace

from daemon.events.broadcast import Broadcast
from domain.errors import NodeError
from domain.launches.launch import LAST_STEPS, Progress, Step


class ProgressLog:
    """Lines of one attempt. A line that only updates the bytes of the last one replaces it."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, Progress]] = []
        self._count = 0
        self._broadcast = Broadcast()

    def add(self, line: Progress) -> None:
        last = self._lines[-1][1] if self._lines else None
        if last and last.step is line.step and None not in (last.bytes_done, line.bytes_done):
            self._lines.pop()
        self._count += 1
        self._lines.append((self._count, line))
        self._broadcast.notify_all()

    def say(self, step: Step, message: str, *, error: NodeError | None = None) -> None:
        line = Progress(step, message, time.time())
        if error is not None:
            line = replace(line, code=error.code, hint=error.hint, line=error.engine_output)
        self.add(line)

    def close(self) -> None:
        """Ends every ``follow``, because the daemon stops."""
        self._broadcast.close()

    @property
    def ended(self) -> bool:
        return bool(self._lines) and self._lines[-1][1].step in LAST_STEPS

    @property
    def lines(self) -> tuple[Progress, ...]:
        return tuple(line for _, line in self._lines)

    async def follow(self) -> AsyncIterator[Progress]:
        """The lines so far, then those to come, until one of LAST_STEPS."""
        yielded = 0
        while True:
            for number, line in [entry for entry in self._lines if entry[0] > yielded]:
                yielded = number
                yield line
            if self.ended or self._broadcast.closed:
                return
            if self._count == yielded:
                await self._broadcast.wait()
