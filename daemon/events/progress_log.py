"""The progress of one launch: kept in memory, replayed to who comes late, followed to its end."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace

from daemon.events.broadcast import Broadcast
from domain.errors import NodeError
from domain.launch import LAST_STEPS, Progress, Step


class ProgressLog:
    """Lines of one attempt. A line that only moves the bytes of the one before takes its place."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, Progress]] = []
        self._count = 0
        self._broadcast = Broadcast()

    def add(self, line: Progress) -> None:
        moves = line.bytes_done is not None and self._lines and self._lines[-1][1].step is line.step
        if moves and self._lines[-1][1].bytes_done is not None:
            self._lines.pop()
        self._count += 1
        self._lines.append((self._count, line))
        self._broadcast.tell()

    def say(self, step: Step, message: str, *, error: NodeError | None = None) -> None:
        line = Progress(step, message, time.time())
        if error is not None:
            line = replace(line, code=error.code, hint=error.hint, line=error.engine_output)
        self.add(line)

    def close(self) -> None:
        """Ends every ``follow``: the daemon stops."""
        self._broadcast.close()

    @property
    def ended(self) -> bool:
        return bool(self._lines) and self._lines[-1][1].step in LAST_STEPS

    @property
    def lines(self) -> tuple[Progress, ...]:
        return tuple(line for _, line in self._lines)

    async def follow(self) -> AsyncIterator[Progress]:
        """What is there, then what comes, until READY, FAILED or STOPPED."""
        seen = 0
        while True:
            for number, line in [entry for entry in self._lines if entry[0] > seen]:
                seen = number
                yield line
            if self.ended or self._broadcast.closed:
                return
            if self._count == seen:
                await self._broadcast.wait()
