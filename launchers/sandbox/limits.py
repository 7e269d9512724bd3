"""What the unit of an engine may use, from its plan. Pure: no I/O.

Why each limit has its value: docs/engines.md, "Limits of an engine".
"""

from dataclasses import dataclass
from enum import StrEnum

from domain.launches.plan import HOST, LlamaFlags, Plan
from domain.units import MIB

# Between what is planned and what is slowed down; as much again lies between that and what is killed. The
# planner's figures of RAM are off by less (docs/performance.md); a request with images takes some besides.
MARGIN_BYTES, MARGIN_SHARE = 512 * MIB, 0.05
KERNEL_MEMLOCK_BYTES = 8 * MIB  # what Linux allows everybody since 5.16
CUDA, ROCM, NO_DEVICE = "CUDA", "ROCm", "none"  # how llama.cpp names devices


class Devices(StrEnum):
    """Which GPUs an engine may open. All those that its back end numbers: a card that is hidden among them
    would move the numbers of the others. ``EVERY``: Vulkan and SYCL number cards of several vendors."""

    NO = "none"
    NVIDIA = "nvidia"
    AMD = "amd"
    EVERY = "every"


@dataclass(frozen=True, slots=True)
class Limits:
    """Above ``memory_high_bytes`` an engine is slowed down, above ``memory_max_bytes`` killed.
    ``memlock_bytes`` is the most that it may lock, ``None`` for what the daemon may."""

    memory_high_bytes: int
    memory_max_bytes: int
    memlock_bytes: int | None = None
    devices: Devices = Devices.EVERY


def of_plan(plan: Plan, margin_bytes: int = 0) -> Limits:
    """``margin_bytes`` in addition, for one that ran out before.

    What is planned for GPUs counts, too: their weights pass through the page cache, which is the group's, and
    GPUs without memory of their own take it from the RAM.
    """
    margin = max(MARGIN_BYTES, int(MARGIN_SHARE * plan.needed_bytes)) + margin_bytes
    high = plan.needed_bytes + margin
    return Limits(high, high + margin, _memlock_bytes(plan, high), _devices(plan))


def _memlock_bytes(plan: Plan, planned_bytes: int) -> int | None:
    """That of vLLM is left: libraries between GPUs and network cards lock memory of their own."""
    flags = plan.flags
    if not isinstance(flags, LlamaFlags):
        return None
    locks = "mlock" in (flags.load_mode or "") or "--mlock" in flags.extra
    return planned_bytes if locks else KERNEL_MEMLOCK_BYTES


def _devices(plan: Plan) -> Devices:
    flags = plan.flags
    if not isinstance(flags, LlamaFlags):
        return Devices.EVERY
    named = {*flags.devices, *flags.draft_devices, *filter(None, (flags.mmproj_device,))}
    if named and all(name.startswith(CUDA) for name in named):
        return Devices.NVIDIA
    if named and all(name.startswith(ROCM) for name in named):
        return Devices.AMD
    has_gpu = any(row.device != HOST for row in plan.memory)
    return Devices.NO if named == {NO_DEVICE} and not has_gpu else Devices.EVERY
