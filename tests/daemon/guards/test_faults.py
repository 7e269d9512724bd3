"""GPUs that are lost and return, as the kernel tells, under a daemon; and what else its log tells."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from config.settings import Settings
from daemon.guards.faults import FaultGuard
from daemon.launches.launch import Launch
from daemon.launches.state_machine import Event
from daemon.state.records import LaunchRequest
from domain.launches.plan import DeviceMemory, LaunchOptions
from domain.machine.hardware import Gpu, Hardware, Problem, ProblemKind
from domain.machine.sample import Sample
from domain.units import GIB
from probes.kernel_log import KernelLog
from tests.daemon.conftest import Api, FakeLauncher, Running, fake_adapters
from tests.daemon.launches.stepped_daemon import Start
from tests.daemon.state.test_store import PLAN
from tests.rigs.trees import plant

FIRST, SECOND = (Gpu(f"pci:0000:0{n}:00.0", "nvidia", "RTX", memory_total_bytes=24 * GIB) for n in (1, 2))
XID_79 = "3,1,1,-;NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus\n"
AMD = "3,1,1,-;amdgpu 0000:01:00.0: amdgpu: GPU reset"
BUS = "sys/bus/pci/devices"


@dataclass
class Box:
    """A machine whose GPUs and kernel log are the test's."""

    api: Api
    root: Path
    hardware: list[Hardware]
    last: int = 0

    def log(self, record: str) -> None:
        with (self.root / "dev/kmsg").open("a") as kmsg:
            kmsg.write(record)

    async def event(self, kind: str) -> str:
        async for event in self.api.app.events.read(self.last, follow=True):
            if event.kind == kind:
                self.last = event.id
                return event.message
        raise AssertionError(f"the daemon ended without {kind}")

    async def kinds(self) -> list[str]:
        return [event.kind async for event in self.api.app.events.read(0, follow=False)]

    async def looked_at(self) -> None:
        samples = self.api.app.samples.follow()
        for _ in range(3):
            await anext(samples)

    def serves(self, gpu: str) -> Launch:
        launch = Launch(LaunchRequest("a", "m", LaunchOptions()))
        launch.plan = replace(PLAN, memory=(DeviceMemory(gpu, GIB, 0, 0, needed_bytes=GIB),))
        launch.gpu_ids = (FIRST.id, SECOND.id)
        for event in (Event.START, Event.ANSWER):
            launch.apply(event)
        self.api.app.launches["a"] = launch
        return launch


@pytest.fixture
def box(
    daemon: Running, settings: Settings, launcher: FakeLauncher, tmp_path: Path
) -> Callable[[], "asyncio._AsyncGeneratorContextManager[Box]"]:
    @asynccontextmanager
    async def run() -> AsyncIterator[Box]:
        files = {"dev/kmsg": XID_79, f"{BUS}/0000:01:00.0/class": "", f"{BUS}/0000:02:00.0/class": ""}
        root = plant(tmp_path / "root", files, {"proc": "/proc"})
        of = settings.model_copy(
            update={"sysroot": root, "sample_interval_s": 0.02, "probe_interval_s": 0.02}
        )
        hardware = [Hardware(gpus=(FIRST, SECOND))]
        adapters = replace(fake_adapters(of, launcher), probe=lambda: hardware[0])
        async with daemon(adapters, of=of) as api, asyncio.timeout(60):
            await api.get("/v1/probe?refresh=true")
            yield Box(api, root, hardware)

    return run


async def test_a_lost_gpu_is_set_aside_its_model_planned_again_and_back_when_it_returns(box) -> None:
    async with box() as here:
        launch, other = here.serves("GPU0"), Launch(LaunchRequest("b", "m", LaunchOptions()))
        await here.looked_at()
        assert "gpu_lost" not in await here.kinds(), "the line was there before the daemon"
        here.log(XID_79)
        assert "pci:0000:01:00.0 is set aside: NVRM: Xid" in await here.event("gpu_lost")
        assert "a is planned again without pci:0000:01:00.0: the kernel says" in await here.event("displaced")
        assert launch.orders.restart
        seen = await here.api.get("/v1/probe")
        assert [gpu["id"] for gpu in seen["gpus"]] == [SECOND.id]
        assert [(gpu["id"], "Xid" in gpu["set_aside"]) for gpu in seen["set_aside"]] == [(FIRST.id, True)]
        launch.orders.restart, launch.gpu_ids = False, (SECOND.id,)
        await here.looked_at()
        assert not launch.orders.restart, "it is moved once"
        await here.api.get("/v1/probe?refresh=true")
        await here.looked_at()
        assert launch.orders.restart, "its GPU is there again"
        assert not other.orders.restart
        assert (await here.kinds()).count("displaced") == 1


async def test_a_reset_that_fails_and_one_that_succeeds(box) -> None:
    async with box() as here:
        launch = here.serves("GPU1")
        here.log(f"{AMD} begin!\n")
        assert "GPU reset begin!" in await here.event("gpu_fault")
        here.log(f"{AMD} end with ret = -19\n")
        await here.event("gpu_lost")
        here.log(f"{AMD} succeeded, trying to resume\n")
        await here.event("gpu_back")
        assert [gpu["id"] for gpu in (await here.api.get("/v1/probe"))["gpus"]] == [FIRST.id, SECOND.id]
        await here.looked_at()
        assert not launch.orders.restart, "it has nothing on that GPU"


@pytest.mark.parametrize(
    ("problem", "on_bus", "lost"),
    [
        pytest.param(ProblemKind.LOST, True, True, id="NVML says that it is lost"),
        pytest.param(None, False, True, id="taken out"),
        pytest.param(ProblemKind.DRIVER, True, False, id="a driver that was updated: engines go on"),
    ],
)
async def test_a_gpu_is_lost_only_if_something_says_so(box, problem, on_bus: bool, lost: bool) -> None:
    async with box() as here:
        launch = here.serves("GPU0")
        problems = (Problem("nvidia", "the GPU at 0000:01:00.0 is lost", trouble=problem),) if problem else ()
        if not on_bus:
            (here.root / BUS / "0000:01:00.0/class").unlink()
            (here.root / BUS / "0000:01:00.0").rmdir()
        here.hardware[0] = Hardware(gpus=(SECOND,), problems=problems)
        await here.api.get("/v1/probe?refresh=true")
        await here.looked_at()
        assert launch.orders.restart is lost


async def test_what_else_the_kernel_tells_is_an_event_once_in_a_while(box) -> None:
    async with box() as here:
        oom = "3,1,1,-;Memory cgroup out of memory: Killed process 4711 (firefox) total-vm:1kB\n"
        here.log(oom + oom + "2,1,1,-;CPU2: Core temperature above threshold, cpu clock throttled\n")
        assert "Killed process 4711 (firefox)" in await here.event("oom_kill")
        assert "the CPU is too hot: CPU2" in await here.event("throttled")
        here.log(oom)
        await here.looked_at()
        assert (await here.kinds()).count("oom_kill") == 1


def test_a_clock_that_is_set_is_told_and_one_that_drifts_or_a_machine_that_slept_is_not(start: Start) -> None:
    daemon = start()
    boottime_s = iter((0.0, 6.0, 12.0, 18.0, 24.0, 28824.0))
    guard = FaultGuard(daemon.app, KernelLog(Path("/nonexistent")), clock=lambda: next(boottime_s))
    for at_s in (1000.0, 1065.0, 8271.0, 8277.0, 4683.0, 33483.0):
        daemon.call(guard.on_sample(Sample(at_s, 0.0)))
    assert [one.message for one in daemon.events if one.kind == "clock_jumped"] == [
        "the clock was set forward by 2 h 00 min",
        "the clock was set back by 1 h 00 min",
    ]
