"""What each part of a llama-server (model, draft model, projector) takes, and their sum per device."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.launches.plan import HOST, DeviceMemory
from domain.machine.hardware import Hardware
from planner.llama_cpp.placement import HOST_ID
from planner.machine import budget
from planner.machine.devices import Device


@dataclass(frozen=True, slots=True)
class ComponentMemory:
    """Bytes of one part by device number, which indexes ``devices``; ``overhead_bytes`` is on the host."""

    devices: tuple[Device, ...]
    weights: dict[int, int]
    kv_cache: dict[int, int]
    compute: dict[int, int]
    overhead_bytes: int = 0
    notes: tuple[str, ...] = ()


def sum_per_device(parts: Sequence[ComponentMemory], hardware: Hardware) -> tuple[DeviceMemory, ...]:
    """A row for each GPU in use, the host last. The host has free what unified GPUs leave of their pool."""
    devices = {device.index: device for part in parts for device in part.devices}
    gpus = [
        _device_memory(
            device.name,
            parts,
            device.index,
            device.backend.context_bytes,
            budget.gpu_free_bytes(device.gpu, hardware),
        )
        for device in devices.values()
    ]
    unified_bytes = sum(
        row.needed_bytes for row, device in zip(gpus, devices.values(), strict=True) if device.is_unified
    )
    free_bytes = budget.host_free_bytes(hardware)
    host_free_bytes = None if free_bytes is None else max(0, free_bytes - unified_bytes)
    overhead_bytes = sum(part.overhead_bytes for part in parts)
    return (*gpus, _device_memory(HOST, parts, HOST_ID, overhead_bytes, host_free_bytes))


def _device_memory(
    name: str, parts: Sequence[ComponentMemory], index: int, overhead_bytes: int, free_bytes: int | None
) -> DeviceMemory:
    """``index``: the GPU's place in the hardware, or ``HOST_ID``."""
    weights = kv_cache = compute = 0
    for part in parts:
        numbers = [number for number, device in enumerate(part.devices) if device.index == index]
        for number in [HOST_ID] if index == HOST_ID else numbers:
            weights += part.weights.get(number, 0)
            kv_cache += part.kv_cache.get(number, 0)
            compute += part.compute.get(number, 0)
    needed = weights + kv_cache + compute + overhead_bytes
    return DeviceMemory(name, weights, kv_cache, compute, overhead_bytes, needed, free_bytes)
