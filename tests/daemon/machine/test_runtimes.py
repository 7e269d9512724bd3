"""Vulkan and Level Zero are asked once a boot, after a look, and never while a GPU sleeps."""

from dataclasses import replace

from daemon.app import Adapters
from daemon.machine import snapshot
from domain.accelerator import RuntimeDevice
from domain.hardware import Gpu, Hardware, Problem
from probes.runtimes.child import Runtime
from probes.runtimes.probe import Runtimes
from tests.daemon.conftest import Running

CARD = RuntimeDevice("RTX 3090", "discrete", "pci:0000:01:00.0", memory_bytes=24)
FOUND = Runtimes(Runtime("1.3.289", (CARD,)), Runtime(problems=(Problem("level_zero", "crashed"),)))


BOX = Hardware(gpus=(Gpu("pci:0000:01:00.0", "amd", "X"),))


async def test_what_was_asked_is_told_by_every_look_and_asked_once(
    daemon: Running, adapters: Adapters
) -> None:
    asked, machine = [], [BOX]

    def ask() -> Runtimes:
        asked.append(1)
        return FOUND

    async with daemon(replace(adapters, probe=lambda: machine[0], ask_runtimes=ask)) as api:
        for _ in range(2):
            await snapshot.refresh(api.app)
        seen = await snapshot.probe_now(api.app)
        assert (seen.stacks.vulkan, seen.stacks.vulkan_devices) == ("1.3.289", (CARD,))
        assert [problem.what for problem in seen.problems if problem.source == "level_zero"] == ["crashed"]
        assert len(asked) == 1
        machine[0] = Hardware()
        await snapshot.refresh(api.app)
        assert len(asked) == 2


async def test_a_gpu_that_sleeps_is_left_asleep_and_what_is_known_stays(
    daemon: Running, adapters: Adapters
) -> None:
    asked, machine = [], [BOX]

    def ask() -> Runtimes:
        asked.append(machine[0])
        return FOUND

    async with daemon(replace(adapters, probe=lambda: machine[0], ask_runtimes=ask)) as api:
        await snapshot.refresh(api.app)
        machine[0] = Hardware(gpus=(replace(BOX.gpus[0], asleep=True),))
        await snapshot.refresh(api.app)
        assert (await snapshot.probe_now(api.app)).stacks.vulkan == "1.3.289"
        assert asked == [BOX]
