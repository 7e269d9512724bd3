"""Daemons that are turned by hand, on one state, with engines of the test's own."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

from daemon.launches.start import placement
from tests.daemon.launches.stepped_daemon import Daemon, Start
from tests.daemon.launches.world import World
from tests.daemon.state.test_store import PLAN


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def start(
    tmp_path: Path,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    no_blocking_calls_on_the_event_loop: BlockBuster,
) -> Iterator[Start]:
    no_blocking_calls_on_the_event_loop.deactivate()  # threads are played by the loop itself
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")

    async def models(*_: object) -> tuple[()]:
        await asyncio.sleep(0)
        return ()

    async def plan(*_: object) -> object:
        await asyncio.sleep(0)
        return PLAN

    monkeypatch.setattr(placement, "resolve_models", models)
    monkeypatch.setattr(placement, "checked_plan", plan)
    made: list[Daemon] = []

    def make(**settings: object) -> Daemon:
        made.append(Daemon(tmp_path, world, **settings))
        return made[-1]

    yield make
    for daemon in made:
        if not daemon.loop.is_closed():
            daemon.end()
    asyncio.set_event_loop(None)


@pytest.fixture
def spawns(world: World, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When engines were started."""
    times: list[float] = []
    spawn = world.spawn

    def noted(command: Any) -> Any:
        times.append(asyncio.get_running_loop().time())
        return spawn(command)

    monkeypatch.setattr(world, "spawn", noted)
    return times
