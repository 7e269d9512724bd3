"""Devices that come, go and change under a whole daemon, on a Strix Halo that umockdev plays."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from daemon.app import Adapters, App
from daemon.launches.launch import Engine, Launch
from daemon.machine import device_changes, hotplug, snapshot
from daemon.state.records import LaunchRequest
from daemon.state.store import Store
from domain.launches.plan import DeviceMemory, LaunchOptions, Plan
from domain.machine.hardware import Gpu, Hardware, Problem
from domain.units import GIB
from launchers.process.engine import EngineProcess
from tests.daemon.conftest import Running
from tests.daemon.test_child import Child, until
from tests.rigs.umockdev import GPU, SECOND_GPU, Testbed

LONG_INTERVAL = {"NODE_DAEMON_PROBE_INTERVAL_S": "600"}
CARD = Gpu("pci:0000:01:00.0", "nvidia", "RTX", memory_total_bytes=24 * GIB, driver="nvidia")


@pytest.fixture
def box() -> Iterator[Testbed]:
    testbed = Testbed("strix-halo")
    yield testbed
    testbed.close()


@pytest.fixture
def daemon_there(box: Testbed, tmp_path: Path) -> Iterator[Child]:
    child = Child(tmp_path, **box.environment(LONG_INTERVAL))
    yield child.up()
    child.end()


def events(daemon: Child) -> list[tuple[str, str]]:
    with daemon.http() as http:
        lines = map(json.loads, http.get("/v1/events").text.splitlines())
        return [(line["kind"], line["message"]) for line in lines if line["kind"].startswith("device")]


def test_the_daemon_sees_the_machine_and_all_that_happens_to_it(daemon_there: Child, box: Testbed) -> None:
    """One daemon for all: its start takes longer than the rest. Its next snapshot is due in ten minutes."""
    seen = daemon_there.get("/v1/probe")
    assert [(gpu["id"], gpu["arch"]) for gpu in seen["gpus"]] == [("pci:0000:c3:00.0", "gfx1151")]
    assert [npu["id"] for npu in seen["npus"]] == ["pci:0000:c4:00.1"]
    assert {sensor["sensor"] for sensor in seen["thermals"]} >= {"k10temp/0000:00:18.3/Tctl"}
    begun = 0

    def expect(kind: str, *parts: str) -> None:
        """An earlier snapshot may see a device that is half gone, and call it changed."""
        nonlocal begun

        def told() -> bool:
            new = events(daemon_there)[begun:]
            return any(seen == kind and all(part in words for part in parts) for seen, words in new)

        until(told)
        begun = len(events(daemon_there))

    box.add_gpu()
    expect("device_came", "7900 XTX", "pci:0000:0d:00.0", "was added")
    assert len(daemon_there.get("/v1/probe")["gpus"]) == 2

    box.attribute(SECOND_GPU, "mem_info_vram_total", str(20 * 1024**3))
    box.uevent(f"{SECOND_GPU}/drm/card1", "change")
    expect("device_changed", "pci:0000:0d:00.0", "memory 20.0 GiB (was 24.0 GiB)")

    box.property(f"{GPU}/drm/card0", "WEDGED", "rebind,bus-reset")
    box.uevent(f"{GPU}/drm/card0", "change")
    expect("device_wedged", "0000:c3:00.0", "unbind and bind its driver again, or ")

    box.remove(f"{SECOND_GPU}/drm/card1")
    box.remove(SECOND_GPU)
    expect("device_gone", "pci:0000:0d:00.0", "is gone")
    assert len(daemon_there.get("/v1/probe")["gpus"]) == 1


async def test_without_udev_the_scheduled_snapshots_are_compared(
    daemon: Running, adapters: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_udev() -> None:
        raise ImportError("No library named udev")

    monkeypatch.setattr(hotplug, "_context", no_udev)
    machines = [Hardware(gpus=(CARD,)), Hardware()]
    adapters = replace(adapters, probe=lambda: machines[0] if len(machines) == 2 else machines[-1])
    async with daemon(adapters) as api:
        assert hotplug.open_sockets() == ()
        assert (await api.get("/v1/probe"))["gpus"][0]["id"] == CARD.id
        machines.pop(0)
        await api.get("/v1/probe?refresh=true")
        answer = await api.http.get("/v1/events")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [(line["kind"], line["message"]) for line in lines] == [
        ("device_gone", "RTX (pci:0000:01:00.0) is gone")
    ]


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await asyncio.to_thread(Store, tmp_path / "state.db")


class FakeEventLog:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str | None]] = []

    async def append(self, kind: str, message: str, *, launch: str | None = None) -> None:
        self.lines.append((kind, message, launch))


def launched(name: str, device: str, needed_bytes: int) -> Launch:
    memory = (DeviceMemory(device, 0, 0, 0, 0, needed_bytes, None),)
    plan = cast("Plan", SimpleNamespace(memory=memory))
    engine = Engine(cast("EngineProcess", object()), 1, None)
    return Launch(LaunchRequest(name, name, LaunchOptions()), plan=plan, engine=engine)


async def test_launches_on_a_device_that_is_gone_are_reported(store: Store) -> None:
    other = replace(CARD, id="pci:0000:02:00.0")
    launches = {
        launch.name: launch
        for launch in (
            launched("big", "GPU1", 20 * GIB),
            launched("small", "GPU0", GIB),
            launched("cpu", "host", GIB),
        )
    }
    events = FakeEventLog()
    app = cast("App", SimpleNamespace(events=events, launches=launches, store=store))
    lost = Problem("nvidia", "the GPU at 0000:02:00.0 is lost")
    before, after = Hardware(gpus=(CARD, other)), Hardware(gpus=(CARD,), problems=(lost,))
    assert await device_changes.report_changes(app, before, after)
    words = "RTX (pci:0000:02:00.0) is gone: the GPU at 0000:02:00.0 is lost"
    assert events.lines == [
        ("device_gone", words, None),
        ("device_gone", f"{words}; it has 20.0 GiB there", "big"),
    ]
    assert not await device_changes.report_changes(app, after, after)


async def test_a_plan_counts_the_gpus_of_its_start(store: Store) -> None:
    """One that went since shifts the others, and no launch to another card."""
    other = replace(CARD, id="pci:0000:02:00.0")
    big, small = launched("big", "GPU1", 20 * GIB), launched("small", "GPU0", GIB)
    big.gpu_ids = small.gpu_ids = (CARD.id, other.id)
    events = FakeEventLog()
    launches = {"big": big, "small": small}
    app = cast("App", SimpleNamespace(events=events, launches=launches, store=store))
    await device_changes.report_changes(app, Hardware(gpus=(CARD, other)), Hardware(gpus=(other,)))
    await device_changes.report_changes(app, Hardware(gpus=(other,)), Hardware())
    assert [launch for _, _, launch in events.lines] == [None, "small", None, "big"]


async def test_an_adopted_engine_had_the_devices_of_the_last_daemon(store: Store) -> None:
    events = FakeEventLog()
    launches = {"big": launched("big", "GPU0", 20 * GIB)}
    app = cast("App", SimpleNamespace(events=events, launches=launches, store=store))
    await device_changes.report_changes(app, None, Hardware(gpus=(CARD,)))
    await device_changes.report_changes(app, None, Hardware())
    assert [launch for _, _, launch in events.lines] == [None, "big"]


async def test_what_was_removed_while_no_daemon_ran_is_reported_by_the_next(store: Store) -> None:
    events = FakeEventLog()
    app = cast("App", SimpleNamespace(events=events, launches={}, store=store))
    assert not await device_changes.report_changes(app, None, Hardware(gpus=(CARD,)))
    assert not await device_changes.report_changes(app, None, Hardware(gpus=(CARD,)))
    assert await device_changes.report_changes(app, None, Hardware())
    assert events.lines == [("device_gone", "RTX (pci:0000:01:00.0) is gone", None)]
    assert not await device_changes.report_changes(app, None, Hardware())


async def test_a_snapshot_that_began_earlier_does_not_replace_a_later_one(
    daemon: Running, adapters: Adapters
) -> None:
    """The daemon's own first snapshot, whenever it is made, finds no card either."""
    machine: ContextVar[Hardware] = ContextVar("machine")
    began, may_end = threading.Event(), threading.Event()

    def probe() -> Hardware:
        seen = machine.get(Hardware())
        if seen.gpus:
            began.set()
            may_end.wait(60)
        return seen

    async def probe_with_card(app: App) -> Hardware:
        machine.set(Hardware(gpus=(CARD,)))
        return await snapshot.probe_now(app)

    async with daemon(replace(adapters, probe=probe)) as api:
        slow = asyncio.create_task(probe_with_card(api.app))
        await asyncio.to_thread(began.wait, 60)
        await api.get("/v1/probe?refresh=true")
        may_end.set()
        assert (await slow).gpus != ()
        assert (await api.get("/v1/probe"))["gpus"] == []
        assert (await api.http.get("/v1/events")).text == ""


async def test_a_snapshot_that_fails_does_not_end_the_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[App] = []
    again = asyncio.Event()

    async def probe_now(app: App) -> None:
        taken.append(app)
        if len(taken) == 1:
            monitor.changed.set()  # while it fails
            raise RuntimeError("a driver in an unexpected state")
        again.set()

    monkeypatch.setattr(hotplug, "SETTLE_S", 0.0)
    monkeypatch.setattr(snapshot, "probe_now", probe_now)
    monitor = hotplug.DeviceMonitor()
    app = cast("App", SimpleNamespace(events=FakeEventLog()))
    watching = asyncio.create_task(hotplug.probe_on_change(app, monitor))
    monitor.changed.set()
    told = asyncio.create_task(again.wait())
    await asyncio.wait({watching, told}, return_when=asyncio.FIRST_COMPLETED)
    assert not watching.done()
    assert taken == [app, app]
    watching.cancel()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(CARD, replace(CARD, temperature_c=80, memory_free_bytes=1, power_w=9), id="what varies"),
        pytest.param(CARD, replace(CARD, asleep=True, memory_total_bytes=25 * GIB), id="it fell asleep"),
        pytest.param(CARD, replace(CARD, driver=None, memory_total_bytes=None), id="unknown is no change"),
    ],
)
def test_no_event_is_written_for(before: Gpu, after: Gpu) -> None:
    assert list(device_changes.compare_devices(Hardware(gpus=(before,)), Hardware(gpus=(after,)))) == []


def test_a_device_that_is_set_aside_is_the_same_device() -> None:
    moved = Hardware(set_aside=(replace(CARD, display_attached=True, driver="new"),))
    [change] = device_changes.compare_devices(Hardware(gpus=(replace(CARD, display_attached=False),)), moved)
    assert change.message == "RTX (pci:0000:01:00.0): driver new (was nvidia), display attached (was none)"


@pytest.mark.parametrize(
    ("subsystem", "pci_class", "matters"),
    [
        ("pci", "30000", True), ("pci", "38000", True), ("pci", "118000", True), ("pci", "120000", True),
        ("pci", "20000", False), ("pci", None, True), ("pci", "x", True), ("drm", None, True),
    ],
)  # fmt: skip
def test_of_the_bus_only_accelerators_matter(subsystem: str, pci_class: str | None, matters: bool) -> None:
    assert hotplug.is_relevant(subsystem, pci_class) is matters
