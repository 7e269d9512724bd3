"""A GPU that keeps the memory of an engine that has ended is named, and waited for."""

import asyncio
from dataclasses import replace

import pytest

from config.settings import Settings
from daemon.app import Adapters, App
from daemon.launches.demand import memory
from daemon.launches.launch import Launch
from daemon.state.records import LaunchRequest
from domain.launches.plan import DeviceMemory, LaunchOptions
from domain.machine.hardware import Gpu, Hardware
from tests.daemon.gateway.conftest import running_gateway
from tests.daemon.state.test_store import PLAN


def machine(free_bytes: int | None) -> Hardware:
    return Hardware(
        gpus=(Gpu("pci:1", "nvidia", "RTX", memory_total_bytes=100, memory_free_bytes=free_bytes),)
    )


def launch() -> Launch:
    rows = (DeviceMemory("host", 0, 0, 0, 0, 9), DeviceMemory("GPU0", 0, 0, 0, 0, 50))
    return Launch(LaunchRequest("chat", "/m/chat.gguf", LaunchOptions()), plan=replace(PLAN, memory=rows))


async def kinds(app: App) -> list[str]:
    return [event.kind async for event in app.events.read(0, follow=False)]


async def test_a_gpu_that_keeps_memory_is_named_and_waited_for(
    settings: Settings, adapters: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "TELL_S", 0.0)
    monkeypatch.setattr(memory, "POLL_S", 0.01)
    now = [machine(10)]
    async with running_gateway(settings, replace(adapters, probe=lambda: now[0])) as rig:
        memory.expect_back(rig.app, launch(), machine(10))
        assert rig.app.ledger.returning == {"chat": ("GPU0",)}
        waiting = asyncio.create_task(memory.until_back(rig.app))
        async for event in rig.app.events.read(0, follow=True):
            if event.kind == "memory_kept":
                assert "GPU0 (RTX) lacks" in event.message
                break
        assert not waiting.done()
        now[0] = machine(60)
        await waiting
        assert rig.app.ledger.returning == {}
        assert "memory_back" in await kinds(rig.app)


async def test_memory_that_never_comes_back_is_waited_for_a_while_and_no_longer(
    settings: Settings, adapters: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "LONGEST_S", 0.0)
    async with running_gateway(settings, replace(adapters, probe=lambda: machine(10))) as rig:
        memory.expect_back(rig.app, launch(), machine(10))
        await asyncio.wait(set(rig.app.returning))
        assert rig.app.ledger.returning == {}


async def test_where_free_memory_is_not_known_nothing_is_waited_for(
    settings: Settings, adapters: Adapters
) -> None:
    async with running_gateway(settings, adapters) as rig:
        memory.expect_back(rig.app, launch(), machine(None))
        memory.expect_back(rig.app, launch(), None)
        assert not rig.app.returning
