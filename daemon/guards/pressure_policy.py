"""When the machine is so short of memory that a model has to give way, and when it has enough again. Pure."""

from dataclasses import dataclass, replace

TIGHT_SHARE = 0.03  # of the RAM available: below it the kernel drops the caches that everything runs from
LAST_SHARE = 0.015  # below it nothing is waited for: a machine without swap may freeze within seconds
STALLED = 0.10  # of the time in which nothing but waiting for memory was done
CALM_SHARE, CALM_STALLED = 0.08, 0.02
TIGHT_S = 8.0
SETTLE_S = 30.0  # until what was given back shows
CALM_S, LONGEST_CALM_S = 120.0, 3600.0


@dataclass(frozen=True, slots=True)
class Memory:
    """``full``: the share of the last ten seconds in which every task waited for memory, ``None`` where the
    kernel does not tell, or where a model is read from the disk on purpose."""

    available_bytes: int
    total_bytes: int
    full: float | None = None

    @property
    def available_share(self) -> float:
        return self.available_bytes / self.total_bytes if self.total_bytes else 1.0

    @property
    def is_tight(self) -> bool:
        return self.available_share < TIGHT_SHARE or (self.full or 0.0) >= STALLED

    @property
    def is_calm(self) -> bool:
        return self.available_share >= CALM_SHARE and (self.full or 0.0) <= CALM_STALLED


@dataclass(frozen=True, slots=True)
class Pressure:
    """``tight_s`` and ``calm_s``: since when it is; ``acted_s``: when a model gave way or came back last.
    ``given``: how many times one gave way, not long after another."""

    tight_s: float | None = None
    calm_s: float | None = None
    acted_s: float = float("-inf")
    given: int = 0


def after_sample(pressure: Pressure, memory: Memory, now_s: float) -> Pressure:
    since_s = pressure.tight_s if pressure.tight_s is not None else now_s
    tight_s = since_s if memory.is_tight else None
    since_s = pressure.calm_s if pressure.calm_s is not None else now_s
    calm_s = since_s if memory.is_calm else None
    given = 0 if now_s - pressure.acted_s > LONGEST_CALM_S else pressure.given
    return replace(pressure, tight_s=tight_s, calm_s=calm_s, given=given)


def must_give_way(pressure: Pressure, memory: Memory, now_s: float) -> bool:
    if pressure.tight_s is None or now_s - pressure.acted_s < SETTLE_S:
        return False
    return now_s - pressure.tight_s >= TIGHT_S or memory.available_share < LAST_SHARE


def may_return(pressure: Pressure, memory: Memory, needed_bytes: int, now_s: float) -> bool:
    """Whether a model that needs so much may be loaded again: later and later where that was in vain."""
    if pressure.calm_s is None:
        return False
    left = Memory(memory.available_bytes - needed_bytes, memory.total_bytes)
    wait_s = min(LONGEST_CALM_S, CALM_S * 2.0 ** max(0, pressure.given - 1))
    return left.is_calm and now_s - max(pressure.calm_s, pressure.acted_s) >= wait_s


def after_giving(pressure: Pressure, now_s: float) -> Pressure:
    return replace(pressure, tight_s=None, calm_s=None, acted_s=now_s, given=pressure.given + 1)


def after_return(pressure: Pressure, now_s: float) -> Pressure:
    return replace(pressure, calm_s=None, acted_s=now_s)
