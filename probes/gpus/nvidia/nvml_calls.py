"""The NVML calls of one device, by the name of their value in ``nvml.DeviceReport``."""

from collections.abc import Callable
from functools import partial
from typing import Any

VGPU_HOST = (3, 4)  # nvmlGpuVirtualizationMode_t: its memory is handed out to virtual machines
P2P_READ, P2P_OK = 0, 0  # nvmlGpuP2PCapsIndex_t, nvmlGpuP2PStatus_t


def pci_location(nv: Any, handle: Any) -> tuple[str, str]:
    """``("000f:01:00.0", "10de:2e12")``; ``pciDeviceId`` is the device in the upper half."""
    info = nv.nvmlDeviceGetPciInfo(handle)
    return _slot(info), f"{info.pciDeviceId & 0xFFFF:04x}:{info.pciDeviceId >> 16:04x}"


def p2p(nv: Any, handle: Any, other: Any) -> bool:
    """Whether reads of the other device's memory bypass the CPU."""
    return bool(nv.nvmlDeviceGetP2PStatus(handle, other, P2P_READ) == P2P_OK)


def nvlinks(
    nv: Any, call: Callable[[Callable[[], Any]], tuple[Any, int | None]], handle: Any
) -> list[str] | None:
    """The PCI slot at the other end of each active NVLink; None if NVML does not report NVLinks.

    ``call`` returns a value or an NVML error code.
    """
    slots: list[str] = []
    for link in range(nv.NVML_NVLINK_MAX_LINKS):
        active, error = call(partial(nv.nvmlDeviceGetNvLinkState, handle, link))
        if error is not None:  # the card has no link of this number
            return slots if link else None
        if active:
            remote, _ = call(partial(nv.nvmlDeviceGetNvLinkRemotePciInfo, handle, link))
            slots += [_slot(remote)] if remote is not None else []
    return slots


def _slot(info: Any) -> str:
    return f"{info.domain:04x}:{info.bus:02x}:{info.device:02x}.0"


def _memory(nv: Any, handle: Any, version: int | None = None) -> tuple[int, int, int | None]:
    """Total, free, reserved bytes. Version 1 counts reserved memory as used; version 2 reports it apart."""
    info = nv.nvmlDeviceGetMemoryInfo(handle, version=version)
    return int(info.total), int(info.free), int(info.reserved) if version else None


def _processes(nv: Any, kind: str, handle: Any) -> tuple[tuple[int, int | None], ...]:
    """Process ids and the bytes that they hold; drivers before 510 have version 2 of the call."""
    try:
        processes = getattr(nv, f"nvmlDeviceGet{kind}RunningProcesses_v3")(handle)
    except nv.NVMLError_FunctionNotFound:
        processes = getattr(nv, f"nvmlDeviceGet{kind}RunningProcesses_v2")(handle)
    return tuple((process.pid, process.usedGpuMemory) for process in processes)


def _throttle_reasons(nv: Any, handle: Any) -> int:
    """CUDA 14 removes the older name of this call."""
    try:
        return int(nv.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except nv.NVMLError_FunctionNotFound:
        return int(nv.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _thresholds(*names: str) -> dict[str, Callable[[Any, Any], Any]]:
    def threshold(name: str) -> Callable[[Any, Any], Any]:
        constant = f"NVML_TEMPERATURE_THRESHOLD_{name}"
        return lambda nv, handle: nv.nvmlDeviceGetTemperatureThreshold(handle, getattr(nv, constant))

    return {f"{name.lower()}_c": threshold(name) for name in names}


def _plain(**calls: str) -> dict[str, Callable[[Any, Any], Any]]:
    def getter(name: str) -> Callable[[Any, Any], Any]:
        return lambda nv, handle: getattr(nv, f"nvmlDeviceGet{name}")(handle)

    return {value: getter(name) for value, name in calls.items()}


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "pci": pci_location,
    "memory_v2": lambda nv, handle: _memory(nv, handle, nv.nvmlMemory_v2),
    "memory_v1": _memory,
    "memory_clock_mhz": lambda nv, handle: nv.nvmlDeviceGetMaxClockInfo(handle, nv.NVML_CLOCK_MEM),
    "temperature_v": lambda nv, handle: nv.nvmlDeviceGetTemperatureV(handle, nv.NVML_TEMPERATURE_GPU),
    "temperature": lambda nv, handle: nv.nvmlDeviceGetTemperature(handle, nv.NVML_TEMPERATURE_GPU),
    "mig_enabled": lambda nv, handle: nv.nvmlDeviceGetMigMode(handle)[0] == nv.NVML_DEVICE_MIG_ENABLE,
    "vgpu_host": lambda nv, handle: nv.nvmlDeviceGetVirtualizationMode(handle) in VGPU_HOST,
    "throttle_reasons": _throttle_reasons,
    "compute_processes": lambda nv, handle: _processes(nv, "Compute", handle),
    "graphics_processes": lambda nv, handle: _processes(nv, "Graphics", handle),
    **_thresholds("SLOWDOWN", "SHUTDOWN"),
    **_plain(
        name="Name",
        uuid="UUID",
        addressing="AddressingMode",
        capability="CudaComputeCapability",
        memory_bus_bits="MemoryBusWidth",
        pcie_generation="MaxPcieLinkGeneration",
        pcie_generation_now="CurrPcieLinkGeneration",
        pcie_card_generation="GpuMaxPcieLinkGeneration",
        pcie_width="CurrPcieLinkWidth",
        pcie_card_width="MaxPcieLinkWidth",
        temperature_margin_c="MarginTemperature",
        power_mw="PowerUsage",
        power_limit_mw="EnforcedPowerLimit",
        power_default_mw="PowerManagementDefaultLimit",
        fan_percent="FanSpeed",
        fan_rpm="FanSpeedRPM",
        persistence="PersistenceMode",
        display_active="DisplayActive",
    ),
}
