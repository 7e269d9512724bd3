"""Asks NVIDIA's management library; every call on its own, because a device can lack any of them.

The library is opened for one reading and closed again: an open handle keeps a card from its sleep
(RTX 2000 Ada: ``runtime_usage`` stays above 0 until it is closed).
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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

LIBRARY = "libnvidia-ml.so.1"
MOST_PARTITIONS = 16  # NVIDIA's cards have 7


@dataclass(frozen=True, slots=True)
class DeviceAnswers:
    """What NVML said of one device: a value by call, or the code that came instead of it.

    ``partitions`` are its MIG devices. ``peers`` maps the index of another device to whether they read each
    other's memory and how many NVLinks join them.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    partitions: tuple["DeviceAnswers", ...] = ()
    peers: Mapping[int, tuple[bool | None, int | None]] = field(default_factory=dict)

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


def read(slots: Sequence[str] | None = None, folders: Sequence[Path] = ()) -> Answers:
    """All devices, or those in ``slots`` only: asking for the others would wake the ones asleep.

    ``folders`` are where the library may lie when the loader doesn't find it.
    """
    import pynvml  # noqa: PLC0415 - 40 ms, and most machines that run this have no NVIDIA GPU

    error = _start(pynvml, folders)
    if error is not None:
        return Answers(error=error)
    try:
        driver, _ = _ask(pynvml, pynvml.nvmlSystemGetDriverVersion)
        cuda, _ = _ask(pynvml, pynvml.nvmlSystemGetCudaDriverVersion_v2)
        opened = [_ask(pynvml, open_device) for open_device in _openers(pynvml, slots)]
        handles = [handle for handle, error in opened if error is None]
        refused = tuple(error for _, error in opened if error is not None)
        devices = tuple(_device(pynvml, handle, _peers(pynvml, handle, handles)) for handle in handles)
        return Answers(None, driver, cuda, devices, refused)
    finally:
        _ask(pynvml, pynvml.nvmlShutdown)


def _start(pynvml: Any, folders: Sequence[Path]) -> int | None:
    _, error = _ask(pynvml, pynvml.nvmlInit)
    for folder in folders if error == LIBRARY_NOT_FOUND else ():
        with suppress(OSError):
            ctypes.CDLL(str(folder / LIBRARY))  # the loader takes what has this name already
            return _ask(pynvml, pynvml.nvmlInit)[1]
    return error


def _openers(pynvml: Any, slots: Sequence[str] | None) -> list[Callable[[], Any]]:
    if slots is not None:
        return [partial(pynvml.nvmlDeviceGetHandleByPciBusId, slot) for slot in slots]
    count, _ = _ask(pynvml, pynvml.nvmlDeviceGetCount)
    return [partial(pynvml.nvmlDeviceGetHandleByIndex, index) for index in range(count or 0)]


def _device(
    pynvml: Any, handle: Any, peers: Mapping[int, tuple[bool | None, int | None]] | None = None
) -> DeviceAnswers:
    """Without ``peers`` a partition, which has none and is cut no further."""
    values, errors = {}, {}
    for name, call in nvml_calls.CALLS.items():
        value, error = _ask(pynvml, partial(call, pynvml, handle))
        if error is None:
            values[name] = value
        else:
            errors[name] = error
    parts = _partitions(pynvml, handle) if peers is not None and values.get("mig_enabled") else ()
    return DeviceAnswers(values, errors, parts, peers or {})


def _partitions(pynvml: Any, handle: Any) -> tuple[DeviceAnswers, ...]:
    """The numbers of a card's MIG devices have gaps."""
    most, _ = _ask(pynvml, partial(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle))
    parts = (
        _ask(pynvml, partial(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index))
        for index in range(min(most or 0, MOST_PARTITIONS))
    )
    return tuple(_device(pynvml, part) for part, error in parts if error is None)


def _peers(pynvml: Any, handle: Any, handles: Sequence[Any]) -> dict[int, tuple[bool | None, int | None]]:
    """Links that end at no GPU end at a switch, which reaches them all."""
    others = {index: other for index, other in enumerate(handles) if other is not handle}
    ends = nvml_calls.nvlinks(pynvml, partial(_ask, pynvml), handle) if others else None
    places = {
        index: _ask(pynvml, partial(nvml_calls.slot, pynvml, other))[0] for index, other in others.items()
    }
    slots = {index: place[0] for index, place in places.items() if place}
    switched = None if ends is None else sum(end not in slots.values() for end in ends)
    peers = {}
    for index, other in others.items():
        reads, _ = _ask(pynvml, partial(nvml_calls.p2p, pynvml, handle, other))
        joined = None if ends is None else ends.count(slots.get(index, "")) or switched
        peers[index] = (reads, joined)
    return peers


def _ask(pynvml: Any, call: Callable[[], Any]) -> tuple[Any, int | None]:
    """A value and no error, or no value and NVML's code."""
    try:
        return call(), None
    except pynvml.NVMLError as error:
        return None, error.value
    except UnicodeDecodeError:  # a name that is no text is no name
        return None, NOT_SUPPORTED
