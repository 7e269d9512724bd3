"""Which models stop to make room on devices: the least valuable idle ones, no more than needed. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

MOST_COMPARED = 12  # models of which every combination is tried: 4096


@dataclass(frozen=True, slots=True)
class Occupant:
    """One model that is served. ``device_bytes`` come back when it stops. ``idle_s`` is the time since its
    last use, ``load_s`` what its next start takes, ``None`` if not known. ``is_busy``: it computes, starts or
    stops, or a client waits for it. ``on_demand``: a request starts it again; others are their owner's to
    stop."""

    name: str
    device_bytes: Mapping[str, int]
    priority: int = 0
    is_pinned: bool = False
    is_busy: bool = False
    on_demand: bool = True
    idle_s: float = 0.0
    load_s: float | None = None

    @property
    def may_stop(self) -> bool:
        return self.on_demand and not self.is_pinned and not self.is_busy


@dataclass(frozen=True, slots=True)
class Shortage:
    """One device that can't give what is needed. ``idle_bytes`` would come back from idle models,
    ``busy_bytes`` from busy ones once they are idle, ``kept_bytes`` are held by models that no request stops:
    pinned ones and those that are not on demand. ``busy`` and ``kept`` are their names."""

    device: str
    needed_bytes: int
    free_bytes: int
    idle_bytes: int = 0
    busy_bytes: int = 0
    kept_bytes: int = 0
    busy: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def fits_later(self) -> bool:
        """Whether there is room once the busy models are idle."""
        return self.needed_bytes <= self.free_bytes + self.idle_bytes + self.busy_bytes


@dataclass(frozen=True, slots=True)
class Room:
    """``stop``: the names of those that make room, in the order in which they stop. With ``shortages``
    nobody stops: even without all idle models there is not enough."""

    stop: tuple[str, ...] = ()
    shortages: tuple[Shortage, ...] = ()


def make_room(
    occupants: Iterable[Occupant], needed: Mapping[str, int], free: Mapping[str, int | None]
) -> Room:
    """Who stops so that every device has the bytes that are ``needed``. A device whose free memory is not
    known is taken to have them.

    Nobody stops who is worth more than all of a set that is enough; of those sets the smallest is taken.
    """
    occupants = tuple(occupants)
    missing = {
        device: count_bytes - free_bytes
        for device, count_bytes in needed.items()
        if (free_bytes := free.get(device)) is not None and count_bytes > free_bytes
    }
    useful = [one for one in least_valuable_first(occupants) if any(map(one.device_bytes.get, missing))]
    for count in range(len(useful) + 1):
        if _is_enough(useful[:count], missing):
            return Room(stop=tuple(one.name for one in _fewest(useful[:count], missing)))
    return Room(shortages=_shortages(occupants, missing, needed, free))


def least_valuable_first(occupants: Iterable[Occupant]) -> list[Occupant]:
    """Those that may stop: by priority, then the longest idle ones. Of those that have been idle for about as
    long, within a factor of two, the one that is loaded again soonest goes first."""

    def value(one: Occupant) -> tuple[int, int, float, float]:
        idle_minutes = int(one.idle_s // 60)
        return one.priority, -idle_minutes.bit_length(), one.load_s or 0.0, -one.idle_s

    return sorted((one for one in occupants if one.may_stop), key=value)


def _is_enough(stopped: Iterable[Occupant], missing: Mapping[str, int]) -> bool:
    left = dict(missing)
    for one in stopped:
        for device in left:
            left[device] -= one.device_bytes.get(device, 0)
    return all(count_bytes <= 0 for count_bytes in left.values())


def _fewest(enough: Sequence[Occupant], missing: Mapping[str, int]) -> Sequence[Occupant]:
    """The smallest part of ``enough`` that still is; where there are too many to try all, one of which nobody
    can be left out."""
    if len(enough) <= MOST_COMPARED:
        for count in range(len(enough)):
            for part in combinations(enough, count):
                if _is_enough(part, missing):
                    return part
        return enough
    kept = list(enough)
    for one in sorted(enough, key=lambda one: sum(one.device_bytes.get(device, 0) for device in missing)):
        without = [other for other in kept if other is not one]
        if _is_enough(without, missing):
            kept = without
    return kept


def _shortages(
    occupants: Sequence[Occupant],
    missing: Mapping[str, int],
    needed: Mapping[str, int],
    free: Mapping[str, int | None],
) -> tuple[Shortage, ...]:
    found = []
    for device in missing:
        there = [one for one in occupants if one.device_bytes.get(device)]
        idle = [one for one in there if one.may_stop]
        busy = [one for one in there if one.is_busy and one.on_demand and not one.is_pinned]
        kept = [one for one in there if one.is_pinned or not one.on_demand]
        idle_bytes, busy_bytes, kept_bytes = (
            sum(one.device_bytes[device] for one in part) for part in (idle, busy, kept)
        )
        names = (tuple(one.name for one in part) for part in (busy, kept))
        free_bytes = free[device] or 0
        shortage = Shortage(device, needed[device], free_bytes, idle_bytes, busy_bytes, kept_bytes, *names)
        if shortage.needed_bytes > shortage.free_bytes + shortage.idle_bytes:
            found.append(shortage)
    return tuple(found)
