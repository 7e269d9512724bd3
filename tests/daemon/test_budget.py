"""The ledger as an owner sees it: what is left of a device, and who holds the rest."""

from dataclasses import replace

from daemon.resources.budget import budgets
from domain.machine.accelerator import GpuProcess
from domain.machine.budget import Share
from domain.machine.hardware import Gpu, Hardware, Memory, MemoryKind
from planner.machine.budget import Reserve

GAME = GpuProcess(7, "game", 4)
GPU = Gpu(
    "pci:1",
    "nvidia",
    "RTX",
    memory_total_bytes=100,
    memory_free_bytes=60,
    memory_kind=MemoryKind.DEDICATED,
    tenants=(GAME,),
)
BOX = Hardware(memory=Memory(total_bytes=1000, available_bytes=700), gpus=(GPU,))
RESERVE = Reserve(host_bytes=50, gpu_bytes=10, display_bytes=0)
CHAT = {
    "GPU0": (Share("chat", 30, 0, "ready", "always"), Share("coder", 20, 20, "starting", "on-demand")),
    "host": (Share("chat", 100, 40, "ready", "always"),),
}


def test_what_is_left_is_what_is_free_less_reservations_and_the_margin() -> None:
    gpu, host = budgets(BOX, RESERVE, CHAT, {"GPU0": ["old"]})
    assert (gpu.device, gpu.name, gpu.total_bytes, gpu.free_bytes) == ("GPU0", "RTX", 100, 60)
    assert (gpu.margin_bytes, gpu.left_bytes, gpu.others_bytes) == (10, 60 - 20 - 10, 100 - 60 - 30)
    assert (gpu.tenants, gpu.returning, gpu.shares) == ((GAME,), ("old",), CHAT["GPU0"])
    assert (host.device, host.margin_bytes, host.left_bytes) == ("host", 50, 700 - 40 - 50)
    assert (host.others_bytes, host.tenants, host.returning) == (1000 - 700 - 60, (), ())


def test_nothing_is_below_zero_and_what_is_not_known_stays_so() -> None:
    unknown = replace(GPU, memory_free_bytes=None, tenants=None)
    gpu, host = budgets(replace(BOX, gpus=(unknown,)), Reserve(host_bytes=5000), CHAT, {})
    assert (gpu.free_bytes, gpu.left_bytes, gpu.others_bytes, gpu.tenants) == (None, None, None, ())
    assert host.left_bytes == 0
    full = replace(BOX, memory=Memory(total_bytes=1000, available_bytes=990))
    assert budgets(full, RESERVE, CHAT, {})[1].others_bytes == 0
