"""The newest sample of the machine, and who waits for the next one."""

from collections.abc import AsyncIterator

from daemon.events.broadcast import Broadcast
from domain.machine.sample import Sample


class Samples:
    """For the event loop only."""

    def __init__(self) -> None:
        self.latest: Sample | None = None
        self._broadcast = Broadcast()

    def publish(self, sample: Sample) -> None:
        self.latest = sample
        self._broadcast.notify_all()

    def close(self) -> None:
        """Ends every ``follow``."""
        self._broadcast.close()

    async def follow(self) -> AsyncIterator[Sample]:
        """Each sample from now on. Who is slow misses those that were taken meanwhile, but the newest."""
        seen = self.latest
        while not self._broadcast.closed:
            if self.latest is seen:
                await self._broadcast.wait()
            elif (seen := self.latest) is not None:
                yield seen
