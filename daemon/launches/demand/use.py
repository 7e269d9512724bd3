"""When a model was used last, by clients of the gateway and by others. Pure: times are arguments."""

from dataclasses import dataclass
from math import inf

from domain.launches.serving import Policy, Serving


@dataclass(slots=True)
class Use:
    """Of all launches of one name, in seconds of the event loop's clock. ``open_requests`` are those of
    clients of the gateway, those that wait included; ``engine_s`` is when its engine last computed for
    anybody. ``keep_s``: how long a client asked to keep it loaded, until it stops; ``inf``: for ever.
    ``failed_s`` is when a start for a request failed last, ``loaded_s`` when its engine was ready."""

    open_requests: int = 0
    last_s: float = -inf
    engine_s: float = -inf
    keep_s: float | None = None
    failed_s: float | None = None
    loaded_s: float | None = None

    def begin(self, now_s: float) -> None:
        self.open_requests += 1
        self.last_s = now_s

    def end(self, now_s: float) -> None:
        self.open_requests -= 1
        self.last_s = now_s

    def loaded(self, now_s: float) -> None:
        """Its engine is ready: until its first request it is idle from now on."""
        self.last_s = self.loaded_s = now_s
        self.keep_s = self.failed_s = None

    def idle_s(self, now_s: float) -> float:
        if self.open_requests:
            return 0.0
        return max(0.0, now_s - max(self.last_s, self.engine_s))


def is_pinned(serving: Serving, use: Use) -> bool:
    return serving.pinned or use.keep_s == inf


def stops_in_s(serving: Serving, use: Use, now_s: float, usual_s: float) -> float | None:
    """In how many seconds it stops if nobody uses it; ``None`` for one that does not. ``usual_s`` is the
    settings' time for those without one of their own."""
    if serving.policy is not Policy.ON_DEMAND or is_pinned(serving, use):
        return None
    limit_s = usual_s if serving.idle_s is None else serving.idle_s
    if use.keep_s is not None:
        limit_s = use.keep_s
    return max(0.0, limit_s - use.idle_s(now_s))
