"""Wakes all tasks that wait for a change. For the event loop only, not for threads."""

import asyncio


class Broadcast:
    """Edge-triggered: ``wait`` returns at the next ``notify_all``, or at once after ``close``."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self.closed = False

    def notify_all(self) -> None:
        current, self._next = self._next, asyncio.Event()
        current.set()

    def close(self) -> None:
        """No more changes: every ``wait`` returns from now on."""
        self.closed = True
        self.notify_all()

    async def wait(self) -> None:
        if not self.closed:
            await self._next.wait()
