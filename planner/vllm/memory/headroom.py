"""What must stay free on a GPU beside what vLLM is known to hold there."""

from collections.abc import Sequence

from domain.launches.plan import HOST, DeviceMemory
from domain.machine.hardware import Gpu, MemoryKind
from domain.units import GIB
from planner.choose.context import SearchContext

# CUDA tells less than the driver, which keeps the difference: 31.36 GiB of an RTX 5090's 31.84, 15.48 of an
# RTX 5080's 15.92 (TrajectoryCrafter/TrajectoryCrafter#20, vllm-project/vllm#14452); up to 0.6 GiB of others.
CUDA_HIDDEN_BYTES = int(0.6 * GIB)
# Of a pool that the host shares: owners of a GB10 leave 12 to 15 %, since what is short there stalls the
# machine (MiaAI-Lab/DeepSeek-v4-Flash-DSpark-2x-DGX-Spark#5, vllm-project/vllm#46307).
UNIFIED_SHARE = 0.15


def cuda_total_bytes(gpu: Gpu) -> int | None:
    """The memory that ``--gpu-memory-utilization`` is a share of."""
    total_bytes = gpu.memory_total_bytes
    if total_bytes is None or not _is_nvidia_card(gpu):
        return total_bytes
    return max(0, total_bytes - CUDA_HIDDEN_BYTES)


def margin_bytes(device: str, search: SearchContext) -> int:
    """Bytes to leave free: the owner's reserve, and on a GPU what the driver or the host needs of it."""
    own_bytes = search.margin_bytes(device)
    if device == HOST:
        return own_bytes
    gpu = search.hardware.gpus[int(device.removeprefix("GPU"))]
    if gpu.memory_kind is MemoryKind.UNIFIED and gpu.memory_total_bytes:
        return max(own_bytes, int(UNIFIED_SHARE * gpu.memory_total_bytes))
    is_all_said_to_be_free = gpu.memory_free_bytes is None and _is_nvidia_card(gpu)
    return own_bytes + CUDA_HIDDEN_BYTES if is_all_said_to_be_free else own_bytes


def has_room(memory: Sequence[DeviceMemory], search: SearchContext) -> bool:
    """Whether ``memory`` and the margins fit each device. A device of unknown size counts as large enough."""
    return all(
        row.free_bytes is None or row.needed_bytes + margin_bytes(row.device, search) <= row.free_bytes
        for row in memory
    )


def _is_nvidia_card(gpu: Gpu) -> bool:
    return gpu.vendor.lower() == "nvidia" and gpu.memory_kind is not MemoryKind.UNIFIED
