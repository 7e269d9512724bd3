"""When the watchdog is no longer fed, and whether the machine was suspended. Pure: no I/O, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass

# A slow disk is no reason to restart, nor is a canary that waits for weights to be read.
STORE_PATIENCE_S = 300.0
LOOK_PATIENCE_S = 1800.0
SUSPENDED_S = 1.0  # the two clocks are not read at the same moment


@dataclass(frozen=True, slots=True)
class Progress:
    """When, by the monotonic clock, the store last answered, and the health of each launch that serves was
    last looked at. That the event loop runs is known: it asks."""

    store_s: float
    looks_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Clocks:
    """``boottime_s`` goes on while the machine is suspended, ``monotonic_s`` does not."""

    monotonic_s: float
    boottime_s: float


def stalled(progress: Progress, now_s: float) -> str | None:
    """What makes no progress; ``None`` if all does."""
    if now_s - progress.store_s > STORE_PATIENCE_S:
        return f"the store has not answered for {now_s - progress.store_s:.0f} s"
    for name, looked_s in progress.looks_s.items():
        if now_s - looked_s > LOOK_PATIENCE_S:
            return f"{name} was not looked at for {now_s - looked_s:.0f} s"
    return None


def suspended_s(before: Clocks, now: Clocks) -> float | None:
    """How long the machine was suspended in between; ``None`` if it was not."""
    slept_s = (now.boottime_s - before.boottime_s) - (now.monotonic_s - before.monotonic_s)
    return slept_s if slept_s > SUSPENDED_S else None
