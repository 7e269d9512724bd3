"""When a model is served: from now on, or once a client asks for it."""

from dataclasses import dataclass, replace
from enum import StrEnum

MAX_IDLE_S = 366 * 86400


class Policy(StrEnum):
    """``ALWAYS``: served until its owner stops it. ``ON_DEMAND``: a request starts it, and it stops when it
    was idle for a while, or others need its memory. ``NEVER``: nobody but its owner starts it, not even a
    start of the daemon."""

    ALWAYS = "always"
    ON_DEMAND = "on-demand"
    NEVER = "never"


class TenantPolicy(StrEnum):
    """About other programs on its GPU. ``YIELD``: it is unloaded when one asks for memory, and comes back
    when that leaves. ``WAIT``: it keeps what it has; where it can't start for lack of memory, it tries again
    when one leaves. ``IGNORE``: neither, and nothing is told of them."""

    YIELD = "yield"
    WAIT = "wait"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Serving:
    """``idle_s``: how long it may be idle before it stops, ``None`` for the time of the settings.
    ``priority``: those with less stop first. ``pinned``: it is not stopped to make room, nor when idle.
    ``tenants``: what it does about other programs on its GPU."""

    policy: Policy = Policy.ALWAYS
    idle_s: float | None = None
    priority: int = 0
    pinned: bool = False
    tenants: TenantPolicy = TenantPolicy.WAIT


ALWAYS = Serving()


@dataclass(frozen=True, slots=True)
class ServingChange:
    """What an owner asks to be changed; ``None`` leaves it as it is."""

    policy: Policy | None = None
    idle_s: float | None = None
    priority: int | None = None
    pinned: bool | None = None
    tenants: TenantPolicy | None = None

    def over(self, before: Serving) -> Serving:
        return replace(
            before,
            policy=before.policy if self.policy is None else self.policy,
            idle_s=before.idle_s if self.idle_s is None else self.idle_s,
            priority=before.priority if self.priority is None else self.priority,
            pinned=before.pinned if self.pinned is None else self.pinned,
            tenants=self.tenants or before.tenants,
        )


NO_CHANGE = ServingChange()
