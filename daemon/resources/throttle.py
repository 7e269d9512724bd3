"""How much of a launch's engine requests may use: set by whoever watches heat, heeded by the gateway's queue.

What runs already is not ended. Both are forgotten with the daemon: who sets them looks again then.
"""

from collections.abc import Callable


class Throttle:
    """``parallel``: at most so many requests run at once, ``None`` without a limit beside the engine's own.
    ``pause_s``: the engine rests so long after a request before the next one starts."""

    def __init__(self) -> None:
        self.parallel: int | None = None
        self.pause_s = 0.0
        self._changed: Callable[[], None] | None = None

    def limit_parallel(self, most: int | None) -> None:
        """At least one: a launch that is to serve nothing is stopped."""
        self.parallel = None if most is None else max(1, most)
        self._notify()

    def pause(self, pause_s: float) -> None:
        self.pause_s = max(0.0, pause_s)
        self._notify()

    def on_change(self, callback: Callable[[], None]) -> None:
        """The queue of the launch, of which there is one."""
        self._changed = callback

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed()
