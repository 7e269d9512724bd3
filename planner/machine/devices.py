"""The devices that llama.cpp sees, and the properties of their back ends that change memory."""

import re
from dataclasses import dataclass

from domain.launches.plan import LLAMA_CPP, LlamaFlags
from domain.machine.hardware import Gpu, Hardware, MemoryKind
from domain.units import MIB


@dataclass(frozen=True, slots=True)
class Backend:
    """``offloads_host_weights``: whether host weights are copied to the device and multiplied there, for a
    batch of 32 tokens or more. ``alignment_bytes``: of each tensor. ``context_bytes``: what the driver itself
    holds per device."""

    name: str
    offloads_host_weights: bool
    alignment_bytes: int
    context_bytes: int


# Source: ggml-rpc (no offload_op; alignment and sizes are the remote's), ggml-cuda (alignment 128,
# offload_op), ggml-vulkan (offload_op; minStorageBufferOffsetAlignment of common drivers is 64 or less).
# Context: a CUDA context with its kernels takes 300 to 700 MiB (reported by users of ggrun: 680 MB on two
# generations of cards); Vulkan and HIP take less.
REMOTE_CPU = Backend("rpc", offloads_host_weights=False, alignment_bytes=32, context_bytes=0)
CUDA = Backend("cuda", offloads_host_weights=True, alignment_bytes=128, context_bytes=500 * MIB)
HIP = Backend("hip", offloads_host_weights=True, alignment_bytes=128, context_bytes=400 * MIB)
VULKAN = Backend("vulkan", offloads_host_weights=True, alignment_bytes=64, context_bytes=150 * MIB)
METAL = Backend("metal", offloads_host_weights=False, alignment_bytes=32, context_bytes=100 * MIB)

BACKEND_BY_VENDOR = {"nvidia": CUDA, "amd": VULKAN, "intel": VULKAN, "apple": METAL}


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU as the engine numbers it. ``index``: its position in the hardware."""

    index: int
    name: str
    gpu: Gpu
    backend: Backend

    @property
    def is_unified(self) -> bool:
        return self.gpu.memory_kind is MemoryKind.UNIFIED


def backend_of(gpu: Gpu, hardware: Hardware) -> Backend:
    """That of the installed engine; without one, that of the usual build for the vendor."""
    installed = {
        name for engine in hardware.engines if engine.engine == LLAMA_CPP for name in engine.backends
    }
    vendor = gpu.vendor.lower()
    if vendor == "nvidia" and "cuda" not in installed and "vulkan" in installed:
        return VULKAN
    if vendor == "amd" and ("hip" in installed or "rocm" in installed):
        return HIP
    return BACKEND_BY_VENDOR.get(vendor, REMOTE_CPU)


def visible_devices(hardware: Hardware, flags: LlamaFlags) -> tuple[Device, ...]:
    """The devices that ``flags`` lets the engine use, in its order; none with a negative -mg.

    Source: ``llama_model_load_from_file_impl``."""
    if flags.devices == ("none",):
        return ()
    visible = tuple(
        Device(index, f"GPU{index}", gpu, backend_of(gpu, hardware))
        for index, gpu in enumerate(hardware.gpus)
        if gpu.memory_total_bytes is None or gpu.memory_total_bytes > 0
    )
    visible = select_devices(visible, flags.devices)
    if flags.split_mode == "none" and visible:
        main = flags.main_gpu or 0
        if main < 0:
            return ()
        return (visible[main] if main < len(visible) else visible[0],)
    return visible


def select_devices(available: tuple[Device, ...], names: tuple[str, ...]) -> tuple[Device, ...]:
    """The devices that ``-dev CUDA1,CUDA0`` names by number, in its order; all if it names none."""
    numbers = [re.search(r"(\d{1,6})(\[[^\]]{0,256}\])?$", name) for name in names]
    by_index = {device.index: device for device in available}
    selected = [by_index.get(int(number.group(1))) for number in numbers if number]
    return tuple(device for device in selected if device) or available


def llama_cpp_build(hardware: Hardware) -> int | None:
    """The installed llama.cpp's build number, from a version such as ``b11434`` or ``0.10434.0``."""
    for engine in hardware.engines:
        if engine.engine == LLAMA_CPP and engine.version:
            match = re.search(r"(?<!\d)(\d{4,6})(?!\d)", engine.version)
            if match:
                return int(match.group(1))
    return None
