"""Wakes everyone who waits for news. Belongs to the event loop: not for threads."""

import asyncio


class Broadcast:
    """Edge-triggered: ``wait`` returns at the next ``tell`` or at once when ``close`` was called."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self.closed = False

    def tell(self) -> None:
        told, self._next = self._next, asyncio.Event()
        told.set()

    def close(self) -> None:
        """No more news: followers end."""
        self.closed = True
        self.tell()

    async def wait(self) -> None:
        if not self.closed:
            await self._next.wait()
