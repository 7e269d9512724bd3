"""Daemons that are turned by hand, on one state, with engines of the test's own."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

from tests.daemon.launches.plans import plan_always
from tests.daemon.launches.stepped_daemon import Daemon, Start
from tests.daemon.launches.world import World


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
    plan_always(monkeypatch)
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
