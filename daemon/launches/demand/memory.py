"""What each device holds, for ``node-ctl ps --memory``; and whether memory came back after a stop."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.machine import snapshot
from daemon.planning.plan import margins
from daemon.resources.budget import budgets
from daemon.resources.ledger import free_bytes, gpu_of
from domain.events import EventKind
from domain.launches.launch import LaunchState
from domain.launches.plan import HOST, Plan
from domain.machine.budget import DeviceBudget, Share
from domain.machine.hardware import Hardware
from domain.units import gib

BACK_SHARE = 0.8  # of what was planned: a plan is no measurement
POLL_S = 0.5
TELL_S = 3.0  # a driver takes a second or two to clean up after a process
LONGEST_S = 20.0


async def show(app: App) -> tuple[DeviceBudget, ...]:
    machine = await snapshot.displayed(app, fresh=True)
    shares: dict[str, list[Share]] = defaultdict(list)
    for launch in app.launches.values():
        reserved = app.ledger.reserved.get(launch.name)
        if reserved is None or launch.plan is None:
            continue
        for row in launch.plan.memory:
            if row.needed_bytes:
                rest = min(reserved.get(row.device, 0), row.needed_bytes)
                state, policy = launch.state.value, launch.serving.policy.value
                shares[row.device].append(Share(launch.name, row.needed_bytes, rest, state, policy))
    returning: dict[str, list[str]] = defaultdict(list)
    for name, devices in app.ledger.returning.items():
        for device in devices:
            returning[device].append(name)
    return budgets(machine, margins(app), shares, returning)


def snapshot_with(app: App, launch: Launch) -> Hardware | None:
    """The last snapshot, if its engine served by then."""
    cache, loaded_s = app.hardware_cache, launch.use.loaded_s
    is_later = launch.engine is not None and loaded_s is not None and cache.began_s > loaded_s
    return cache.hardware if is_later else None


def expect_back(app: App, launch: Launch, machine: Hardware | None) -> None:
    """Its engine has ended: from now on its memory on GPUs is waited for. ``machine`` is a snapshot with
    that engine; without one nothing is known. Starts wait for it, for a while."""
    plan = launch.plan
    if machine is None or plan is None:
        return
    expected = {
        device: before + int(BACK_SHARE * count)
        for device, count in on_gpus(plan).items()
        if (before := free_bytes(machine, device)) is not None
    }
    if expected:
        app.ledger.returning[launch.name] = tuple(expected)
        task = asyncio.create_task(_watch(app, launch, expected), name=f"memory of {launch.name}")
        app.returning.add(task)
        task.add_done_callback(app.returning.discard)


def on_gpus(plan: Plan) -> dict[str, int]:
    return {row.device: row.needed_bytes for row in plan.memory if row.device != HOST and row.needed_bytes}


async def until_back(app: App) -> None:
    """Until the memory of engines that have ended has come back, or that was waited for long enough."""
    if app.returning:
        await asyncio.wait(set(app.returning), timeout=LONGEST_S)


async def _watch(app: App, launch: Launch, expected: Mapping[str, int]) -> None:
    loop = asyncio.get_running_loop()
    began_s, told = loop.time(), False
    try:
        while kept := await _kept(app, launch, expected):
            waited_s = loop.time() - began_s
            if waited_s >= TELL_S and not told:
                told = True
                await app.events.append(EventKind.MEMORY_KEPT, _in_words(launch, kept, waited_s))
            if waited_s >= LONGEST_S:
                return
            await asyncio.sleep(POLL_S)
        if told:
            message = f"the memory of {launch.name} came back after {loop.time() - began_s:.0f} s"
            await app.events.append(EventKind.MEMORY_BACK, message)
    finally:
        app.ledger.returning.pop(launch.name, None)


async def _kept(app: App, launch: Launch, expected: Mapping[str, int]) -> dict[str, int]:
    """What is still lacking, by device. Another engine that allocates meanwhile hides what came back."""
    if any(other.state is LaunchState.STARTING for other in app.launches.values() if other is not launch):
        return {}
    machine = await snapshot.displayed(app, fresh=True)
    free = {device: free_bytes(machine, device) for device in expected}
    return {
        f"{device}{_name(machine, device)}": wanted - has
        for device, wanted in expected.items()
        if (has := free[device]) is not None and has < wanted
    }


def _name(machine: Hardware, device: str) -> str:
    gpu = gpu_of(machine, device)
    return "" if gpu is None else f" ({gpu.name})"


def _in_words(launch: Launch, kept: Mapping[str, int], waited_s: float) -> str:
    held = ", ".join(f"{device} lacks {gib(count)}" for device, count in kept.items())
    return (
        f"the memory of {launch.name} has not come back {waited_s:.0f} s after its engine ended: {held}; the "
        "driver keeps it, or another program took it"
    )
