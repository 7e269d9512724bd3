"""Vulkan and Level Zero are read once a boot, after a snapshot, and never while a GPU sleeps."""

from dataclasses import replace

from daemon.app import Adapters
from daemon.machine import snapshot
from domain.machine.accelerator import RuntimeDevice
from domain.machine.hardware import Gpu, Hardware, Problem
from domain.units import GIB
from probes.runtimes.child import Runtime
from probes.runtimes.probe import Runtimes
from tests.daemon.conftest import Running

CARD = RuntimeDevice("RTX 3090", "discrete", "pci:0000:01:00.0", memory_bytes=24)
FOUND = Runtimes(Runtime("1.3.289", (CARD,)), Runtime(problems=(Problem("level_zero", "crashed"),)))


BOX = Hardware(gpus=(Gpu("pci:0000:01:00.0", "amd", "X"),))


async def test_runtimes_are_read_once_and_part_of_every_snapshot(daemon: Running, adapters: Adapters) -> None:
    calls, machine = [], [BOX]

    def read() -> Runtimes:
        calls.append(1)
        return FOUND

    async with daemon(replace(adapters, probe=lambda: machine[0], ask_runtimes=read)) as api:
        for _ in range(2):
            await snapshot.refresh(api.app)
        hardware = await snapshot.probe_now(api.app)
        assert (hardware.stacks.vulkan, hardware.stacks.vulkan_devices) == ("1.3.289", (CARD,))
        assert [problem.what for problem in hardware.problems if problem.source == "level_zero"] == [
            "crashed"
        ]
        assert len(calls) == 1
        machine[0] = Hardware()
        await snapshot.refresh(api.app)
        assert len(calls) == 2


async def test_a_sleeping_gpu_is_left_asleep_and_the_stored_runtimes_stay(
    daemon: Running, adapters: Adapters
) -> None:
    calls, machine = [], [BOX]

    def read() -> Runtimes:
        calls.append(machine[0])
        return FOUND

    async with daemon(replace(adapters, probe=lambda: machine[0], ask_runtimes=read)) as api:
        await snapshot.refresh(api.app)
        machine[0] = Hardware(gpus=(replace(BOX.gpus[0], asleep=True),))
        await snapshot.refresh(api.app)
        assert (await snapshot.probe_now(api.app)).stacks.vulkan == "1.3.289"
        assert calls == [BOX]


async def test_a_launch_wakes_a_gpu_whose_memory_is_unknown_and_no_other(
    daemon: Running, adapters: Adapters
) -> None:
    unknown = replace(BOX.gpus[0], asleep=True)
    known = replace(unknown, memory_total_bytes=GIB)
    machine, woken = [Hardware(gpus=(known,))], []

    def awake() -> Hardware:
        woken.append(machine[0])
        return Hardware(gpus=(replace(known, asleep=False),))

    async with daemon(replace(adapters, probe=lambda: machine[0], probe_awake=awake)) as api:
        await snapshot.probe_awake(api.app)
        assert woken == []
        machine[0] = Hardware(gpus=(unknown,))
        assert (await snapshot.probe_awake(api.app)).gpus[0].memory_total_bytes == GIB
        assert len(woken) == 1
