"""Reads NVIDIA's management library (NVML). Each call may fail on its own, because a device can lack any.

The library is opened for one reading and closed again: an open handle keeps a card from suspending
(RTX 2000 Ada: ``runtime_usage`` stays above 0 until it is closed).
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from probes.gpus.nvidia import nvml_calls

# Return codes of nvml.h
NOT_SUPPORTED = 3
NO_PERMISSION = 4
DRIVER_NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
GPU_IS_LOST = 15
VERSION_MISMATCH = 18
UNKNOWN = 999

LIBRARY = "libnvidia-ml.so.1"
MAX_DEVICES = 32  # servers have 16
MAX_PARTITIONS = 16  # NVIDIA's cards have 7


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """One device: by the name of the call (``nvml_calls.CALLS``) its value or its error code.

    ``partitions`` are its MIG devices. ``peers`` maps the index of another device to whether they read each
    other's memory and how many NVLinks connect them.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    partitions: tuple["DeviceReport", ...] = ()
    peers: Mapping[int, tuple[bool | None, int | None]] = field(default_factory=dict)

    @property
    def lost(self) -> bool:
        return GPU_IS_LOST in self.errors.values()


@dataclass(frozen=True, slots=True)
class NvmlReport:
    """``error`` is the code with which the library failed to start; nothing else is known then.

    ``handle_errors`` are the codes of devices that are counted and cannot be opened.
    """

    error: int | None = None
    driver: str | None = None
    cuda_version: int | None = None
    devices: tuple[DeviceReport, ...] = ()
    handle_errors: tuple[int, ...] = ()


def read(slots: Sequence[str] | None = None, folders: Sequence[Path] = ()) -> NvmlReport:
    """All devices, or only those in ``slots``, because opening the others would wake those that sleep.

    ``folders`` are searched for the library if the loader does not find it.
    """
    import pynvml  # noqa: PLC0415 - takes 40 ms, and most machines have no NVIDIA GPU

    error = _initialize(pynvml, folders)
    if error is not None:
        return NvmlReport(error=error)
    try:
        driver, _ = _call(pynvml, pynvml.nvmlSystemGetDriverVersion)
        cuda, _ = _call(pynvml, pynvml.nvmlSystemGetCudaDriverVersion_v2)
        results = [_call(pynvml, open_device) for open_device in _handle_calls(pynvml, slots)]
        handles = [handle for handle, error in results if error is None]
        errors = tuple(error for _, error in results if error is not None)
        cards = [_card(pynvml, handle) for handle in handles]
        slots = [card.values.get("pci", (None, None))[0] for card in cards]
        devices = (
            replace(card, peers=_peers(pynvml, index, handles, slots)) for index, card in enumerate(cards)
        )
        return NvmlReport(None, driver, cuda, tuple(devices), errors)
    finally:
        _call(pynvml, pynvml.nvmlShutdown)


def _initialize(pynvml: Any, folders: Sequence[Path]) -> int | None:
    _, error = _call(pynvml, pynvml.nvmlInit)
    for folder in folders if error == LIBRARY_NOT_FOUND else ():
        with suppress(OSError):
            ctypes.CDLL(str(folder / LIBRARY))  # a library of this name that is loaded is used again
            return _call(pynvml, pynvml.nvmlInit)[1]
    return error


def _handle_calls(pynvml: Any, slots: Sequence[str] | None) -> list[Callable[[], Any]]:
    if slots is not None:
        return [partial(pynvml.nvmlDeviceGetHandleByPciBusId, slot) for slot in slots]
    count, _ = _call(pynvml, pynvml.nvmlDeviceGetCount)
    return [
        partial(pynvml.nvmlDeviceGetHandleByIndex, index) for index in range(min(count or 0, MAX_DEVICES))
    ]


def _card(pynvml: Any, handle: Any) -> DeviceReport:
    """With its partitions, and without its peers."""
    card = _device(pynvml, handle)
    return replace(card, partitions=_partitions(pynvml, handle)) if card.values.get("mig_enabled") else card


def _device(pynvml: Any, handle: Any) -> DeviceReport:
    values, errors = {}, {}
    for name, call in nvml_calls.CALLS.items():
        value, error = _call(pynvml, partial(call, pynvml, handle))
        if error is None:
            values[name] = value
        else:
            errors[name] = error
    return DeviceReport(values, errors)


def _partitions(pynvml: Any, handle: Any) -> tuple[DeviceReport, ...]:
    """The indices of a card's MIG devices may have gaps."""
    count, _ = _call(pynvml, partial(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle))
    results = (
        _call(pynvml, partial(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index))
        for index in range(min(count or 0, MAX_PARTITIONS))
    )
    return tuple(_device(pynvml, partition) for partition, error in results if error is None)


def _peers(
    pynvml: Any, own: int, handles: Sequence[Any], slots: Sequence[str | None]
) -> dict[int, tuple[bool | None, int | None]]:
    """NVLinks that do not end at a GPU end at a switch, which connects all of them."""
    others = {index: other for index, other in enumerate(handles) if index != own}
    links = nvml_calls.nvlinks(pynvml, partial(_call, pynvml), handles[own]) if others else None
    to_switch = (
        None if links is None else sum(link not in {slots[index] for index in others} for link in links)
    )
    peers = {}
    for index, other in others.items():
        p2p, _ = _call(pynvml, partial(nvml_calls.p2p, pynvml, handles[own], other))
        nvlinks = None if links is None else links.count(slots[index] or "") or to_switch
        peers[index] = (p2p, nvlinks)
    return peers


def _call(pynvml: Any, call: Callable[[], Any]) -> tuple[Any, int | None]:
    """A value and no error, or no value and NVML's error code."""
    try:
        return call(), None
    except pynvml.NVMLError as error:
        return None, error.value
    except UnicodeDecodeError:  # a name that is not UTF-8
        return None, NOT_SUPPORTED
