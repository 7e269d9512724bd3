"""The devices that an engine sees, and what sets their back ends apart.

A ``Backend`` is what changes bytes: whether the back end takes work of host weights during prefill,
whether it has pinned host buffers, and what the driver itself holds.
"""

import re
from dataclasses import dataclass

from domain.hardware import Gpu, Hardware, MemoryKind
from domain.plan import LlamaFlags
from domain.units import MIB


@dataclass(frozen=True, slots=True)
class Backend:
    """``offloads_host_weights``: with 32 tokens or more, matrices on the host are copied to the device
    and computed there. ``alignment``: of each tensor. ``context_bytes``: the driver's own, per device."""

    name: str
    offloads_host_weights: bool
    alignment: int
    context_bytes: int


# Source: ggml-rpc (no offload_op; alignment and sizes are the remote's), ggml-cuda (alignment 128,
# offload_op), ggml-vulkan (offload_op; minStorageBufferOffsetAlignment of common drivers is 64 or less).
# Context: a CUDA context with its kernels takes 300 to 700 MiB (seen by ggrun's users: 680 MB on two
# generations of cards); Vulkan and HIP take less.
REMOTE_CPU = Backend("rpc", offloads_host_weights=False, alignment=32, context_bytes=0)
CUDA = Backend("cuda", offloads_host_weights=True, alignment=128, context_bytes=500 * MIB)
HIP = Backend("hip", offloads_host_weights=True, alignment=128, context_bytes=400 * MIB)
VULKAN = Backend("vulkan", offloads_host_weights=True, alignment=64, context_bytes=150 * MIB)
METAL = Backend("metal", offloads_host_weights=False, alignment=32, context_bytes=100 * MIB)

BY_VENDOR = {"nvidia": CUDA, "amd": VULKAN, "intel": VULKAN, "apple": METAL}


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU as the engine numbers it. ``index`` is its place in the hardware."""

    index: int
    name: str
    gpu: Gpu
    backend: Backend

    @property
    def is_unified(self) -> bool:
        return self.gpu.memory_kind is MemoryKind.UNIFIED


def backend_of(gpu: Gpu, hardware: Hardware) -> Backend:
    """By the engine that is here; without one, by what the vendor's builds use."""
    found = {name for engine in hardware.engines if engine.engine == "llama.cpp" for name in engine.backends}
    vendor = gpu.vendor.lower()
    if vendor == "nvidia" and found and "cuda" not in found and "vulkan" in found:
        return VULKAN
    if vendor == "amd" and ("hip" in found or "rocm" in found):
        return HIP
    return BY_VENDOR.get(vendor, REMOTE_CPU)


def devices(hardware: Hardware, flags: LlamaFlags) -> tuple[Device, ...]:
    """Those that ``flags`` lets the engine use, in its order; none with a negative -mg.

    Source: ``llama_model_load_from_file_impl``."""
    if flags.devices == ("none",):
        return ()
    found = tuple(
        Device(index, f"GPU{index}", gpu, backend_of(gpu, hardware))
        for index, gpu in enumerate(hardware.gpus)
        if gpu.memory_total_bytes is None or gpu.memory_total_bytes > 0
    )
    found = named(found, flags.devices)
    if flags.split_mode == "none" and found:
        main = flags.main_gpu or 0
        if main < 0:
            return ()
        return (found[main] if main < len(found) else found[0],)
    return found


def named(found: tuple[Device, ...], names: tuple[str, ...]) -> tuple[Device, ...]:
    """Those that ``-dev CUDA1,CUDA0`` names by their numbers, in its order; all where it names none."""
    numbers = [re.search(r"(\d+)(\[.*\])?$", name) for name in names]
    by_index = {device.index: device for device in found}
    chosen = [by_index.get(int(number.group(1))) for number in numbers if number]
    return tuple(device for device in chosen if device) or found


def build_of(hardware: Hardware) -> int | None:
    """llama.cpp's build number from a version such as ``b11434`` or ``0.10434.0``."""
    for engine in hardware.engines:
        if engine.engine == "llama.cpp" and engine.version:
            found = re.search(r"(?<!\d)(\d{4,6})(?!\d)", engine.version)
            if found:
                return int(found.group(1))
    return None
