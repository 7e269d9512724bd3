"""Room for a launch that starts: who holds which memory, who is idle, and the stop of those who make room."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from daemon.app import App
from daemon.launches.demand.park import is_busy, park
from daemon.launches.demand.use import is_pinned
from daemon.launches.eviction import policy
from daemon.launches.eviction.policy import Occupant, Room, Shortage
from daemon.launches.launch import Launch
from daemon.machine import snapshot
from daemon.planning.plan import margins
from daemon.resources import ledger
from daemon.resources.budget import margin_bytes
from domain.launches.launch import Step
from domain.launches.plan import HOST, Plan
from domain.launches.serving import Policy
from domain.machine.hardware import Hardware
from domain.units import duration, gib
from planner.machine.budget import Reserve


async def occupants(app: App, launch: Launch) -> list[Occupant]:
    """All others that hold memory. Engines that may be idle are asked whether they are."""
    others = [
        other
        for other in app.launches.values()
        if other is not launch and other.plan is not None and other.name in app.ledger.reserved
    ]
    on_demand = [other for other in others if other.serving.policy is Policy.ON_DEMAND]
    busy = dict(zip(map(id, on_demand), await asyncio.gather(*map(is_busy, on_demand)), strict=True))
    return [_occupant(other, is_busy=busy.get(id(other), False)) for other in others]


def _occupant(launch: Launch, *, is_busy: bool) -> Occupant:
    plan, now_s = launch.plan, asyncio.get_running_loop().time()
    return Occupant(
        launch.name,
        {} if plan is None else needed_bytes(plan),
        priority=launch.serving.priority,
        is_pinned=is_pinned(launch.serving, launch.use),
        is_busy=is_busy or launch.orders.must_end or launch.orders.restart,
        on_demand=launch.serving.policy is Policy.ON_DEMAND,
        idle_s=launch.use.idle_s(now_s),
        load_s=launch.ready.load_s if launch.ready else None,
    )


def needed_bytes(plan: Plan) -> dict[str, int]:
    """By device. What is read from the disk for each token needs no RAM."""
    return {row.device: row.needed_bytes for row in plan.memory if plan.fits or row.device != HOST}


def idle_bytes(others: list[Occupant]) -> dict[str, int]:
    """What those would give back who may stop, by device."""
    total = Counter[str]()
    for one in others:
        if one.may_stop:
            total.update(one.device_bytes)
    return dict(total)


async def lacking(app: App, launch: Launch, plan: Plan) -> tuple[Shortage, ...]:
    """What ``plan`` lacks now, even if all idle launches made room for it."""
    reserved = app.ledger.reservations_of_others(launch.name)
    machine = ledger.without(await snapshot.probe_awake(app), reserved.device_bytes)
    return _room(await occupants(app, launch), plan, machine).shortages


async def make_room(app: App, launch: Launch, plan: Plan, machine: Hardware) -> Room:
    """Stops idle launches until ``machine``, less what others have reserved, has room for ``plan`` and the
    margin that plans leave free; if that is not possible, for ``plan`` alone. Returns who stopped, or what
    is lacking."""
    others = await occupants(app, launch)
    room = _room(others, plan, machine, margins(app))
    if room.shortages:
        room = _room(others, plan, machine)
    for name in room.stop:
        other = app.launches[name]
        held = in_words(needed_bytes(other.plan)) if other.plan else ""
        idle = duration(other.use.idle_s(asyncio.get_running_loop().time()))
        launch.say(Step.PLAN, f"{name} makes room: idle for {idle}, {held}")
        await park(other, f"it was idle for {idle}, and {launch.name} needs its memory ({held})")
    return room


def _room(others: list[Occupant], plan: Plan, machine: Hardware, reserve: Reserve | None = None) -> Room:
    needed = needed_bytes(plan)
    free = {device: ledger.free_bytes(machine, device) for device in needed}
    for device, free_bytes in free.items():
        if free_bytes is not None and reserve is not None:
            free[device] = free_bytes - margin_bytes(machine, device, reserve)
    return policy.make_room(others, needed, free)


async def held_by_others(app: App, launch: Launch) -> str:
    """Whom an owner may stop, and what that gives back."""
    held = [
        f"{one.name} ({in_words(one.device_bytes)})"
        for one in await occupants(app, launch)
        if not one.may_stop and any(one.device_bytes.values())
    ]
    return f"node-ctl stop gives back what others hold: {', '.join(held)}" if held else ""


def in_words(device_bytes: Mapping[str, int]) -> str:
    return ", ".join(f"{gib(count)} on {device}" for device, count in device_bytes.items() if count)


def shortage_in_words(shortages: tuple[Shortage, ...]) -> str:
    """``GPU0: 8.0 GiB needed, 1.0 GiB free, 6.0 GiB held by chat (busy)``."""
    return "; ".join(map(_in_words, shortages))


def _in_words(one: Shortage) -> str:
    words = [f"{one.device}: {gib(one.needed_bytes)} needed, {gib(one.free_bytes)} free"]
    words += [f"{gib(one.idle_bytes)} held by idle models"] if one.idle_bytes else []
    words += [f"{gib(one.busy_bytes)} by {', '.join(one.busy)} (busy)"] if one.busy else []
    words += [f"{gib(one.kept_bytes)} by {', '.join(one.kept)} (kept)"] if one.kept else []
    return ", ".join(words)


def next_step(shortages: tuple[Shortage, ...]) -> str:
    """What an owner can do about it."""
    kept = tuple(dict.fromkeys(name for one in shortages for name in one.kept))
    if shortages and all(one.fits_later for one in shortages):
        return "it starts once they are idle"
    return f"node-ctl stop {' or '.join(kept)} makes room" if kept else "ask for less with --context"
