"""Asks NVIDIA's management library; every call on its own, because a device can lack any of them.

The library is opened for one reading and closed again: an open handle keeps a card from its sleep
(RTX 2000 Ada: ``runtime_usage`` stays above 0 until it is closed).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

# Return codes of nvml.h
NOT_SUPPORTED = 3
NO_PERMISSION = 4
DRIVER_NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
GPU_IS_LOST = 15
VERSION_MISMATCH = 18

ADDRESSING_ATS = 2  # the GPU walks the CPU's page tables: nvmlDeviceAddressingMode_t


@dataclass(frozen=True, slots=True)
class DeviceAnswers:
    """What NVML said of one device: a value by call, or the code that came instead of it."""

    values: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> bool:
        return GPU_IS_LOST in self.errors.values()


@dataclass(frozen=True, slots=True)
class Answers:
    """``error`` is the code with which the library refused to start; then nothing else is known.

    ``handle_errors`` are the codes of devices that are counted and can't be opened.
    """

    error: int | None = None
    driver: str | None = None
    cuda_version: int | None = None
    devices: tuple[DeviceAnswers, ...] = ()
    handle_errors: tuple[int, ...] = ()


def read(slots: Sequence[str] | None = None) -> Answers:
    """All devices, or those in ``slots`` only: asking for the others would wake the ones asleep."""
    import pynvml  # noqa: PLC0415 - 40 ms, and most machines that run this have no NVIDIA GPU

    _, error = _ask(pynvml, pynvml.nvmlInit)
    if error is not None:
        return Answers(error=error)
    try:
        driver, _ = _ask(pynvml, pynvml.nvmlSystemGetDriverVersion)
        cuda, _ = _ask(pynvml, pynvml.nvmlSystemGetCudaDriverVersion_v2)
        handles = [_ask(pynvml, open_device) for open_device in _openers(pynvml, slots)]
        devices = tuple(_device(pynvml, handle) for handle, error in handles if error is None)
        refused = tuple(error for _, error in handles if error is not None)
        return Answers(None, driver, cuda, devices, refused)
    finally:
        _ask(pynvml, pynvml.nvmlShutdown)


def _openers(pynvml: Any, slots: Sequence[str] | None) -> list[Callable[[], Any]]:
    if slots is not None:
        return [partial(pynvml.nvmlDeviceGetHandleByPciBusId, slot) for slot in slots]
    count, _ = _ask(pynvml, pynvml.nvmlDeviceGetCount)
    return [partial(pynvml.nvmlDeviceGetHandleByIndex, index) for index in range(count or 0)]


def _device(pynvml: Any, handle: Any) -> DeviceAnswers:
    values, errors = {}, {}
    for name, call in CALLS.items():
        value, error = _ask(pynvml, partial(call, pynvml, handle))
        if error is None:
            values[name] = value
        else:
            errors[name] = error
    return DeviceAnswers(values, errors)


def _ask(pynvml: Any, call: Callable[[], Any]) -> tuple[Any, int | None]:
    """A value and no error, or no value and NVML's code."""
    try:
        return call(), None
    except pynvml.NVMLError as error:
        return None, error.value
    except UnicodeDecodeError:  # a name that is no text is no name
        return None, NOT_SUPPORTED


def _slot(pynvml: Any, handle: Any) -> tuple[str, str]:
    """``("000f:01:00.0", "10de:2e12")``; ``pciDeviceId`` is the device in the upper half."""
    info = pynvml.nvmlDeviceGetPciInfo(handle)
    slot = f"{info.domain:04x}:{info.bus:02x}:{info.device:02x}.0"
    return slot, f"{info.pciDeviceId & 0xFFFF:04x}:{info.pciDeviceId >> 16:04x}"


def _memory(pynvml: Any, handle: Any, version: int | None = None) -> tuple[int, int]:
    info = pynvml.nvmlDeviceGetMemoryInfo(handle, version=version)
    return int(info.total), int(info.free)


# Version 1 of the memory call counts what the driver reserves as used; version 2 tells it apart
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "pci": _slot,
    "name": lambda nv, handle: nv.nvmlDeviceGetName(handle),
    "memory_v2": lambda nv, handle: _memory(nv, handle, nv.nvmlMemory_v2),
    "memory_v1": _memory,
    "addressing": lambda nv, handle: nv.nvmlDeviceGetAddressingMode(handle),
    "capability": lambda nv, handle: nv.nvmlDeviceGetCudaComputeCapability(handle),
    "memory_clock_mhz": lambda nv, handle: nv.nvmlDeviceGetMaxClockInfo(handle, nv.NVML_CLOCK_MEM),
    "memory_bus_bits": lambda nv, handle: nv.nvmlDeviceGetMemoryBusWidth(handle),
    "pcie_generation": lambda nv, handle: nv.nvmlDeviceGetMaxPcieLinkGeneration(handle),
    "pcie_width": lambda nv, handle: nv.nvmlDeviceGetCurrPcieLinkWidth(handle),
    "temperature_v": lambda nv, handle: nv.nvmlDeviceGetTemperatureV(handle, nv.NVML_TEMPERATURE_GPU),
    "temperature": lambda nv, handle: nv.nvmlDeviceGetTemperature(handle, nv.NVML_TEMPERATURE_GPU),
    "slowdown_c": lambda nv, handle: nv.nvmlDeviceGetTemperatureThreshold(
        handle, nv.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
    ),
    "shutdown_c": lambda nv, handle: nv.nvmlDeviceGetTemperatureThreshold(
        handle, nv.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN
    ),
    "power_mw": lambda nv, handle: nv.nvmlDeviceGetPowerUsage(handle),
    "display_active": lambda nv, handle: nv.nvmlDeviceGetDisplayActive(handle),
}
