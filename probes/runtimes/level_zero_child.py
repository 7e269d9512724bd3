"""Lists the GPUs of Level Zero's loader, in a process of its own because a driver may crash or hang.

    python -m probes.runtimes.level_zero_child

Prints JSON. The layouts are those of ze_api.h for 64-bit machines, checked against version 1.8.12.
"""

import ctypes
import json
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

GPU_ONLY, GPU = 1, 1
DRIVER, DEVICE, MEMORY, PCI = 0x1, 0x3, 0x7, 0x10008
DRIVER_BYTES, DEVICE_BYTES, MEMORY_BYTES, PCI_BYTES = 40, 368, 296, 48
INTEGRATED = 1


def main() -> None:
    try:
        library = ctypes.CDLL("libze_loader.so.1")
    except OSError as error:
        sys.exit(f"libze_loader.so.1: {error}")
    result = library.zeInit(GPU_ONLY)
    if result != 0:
        sys.exit(f"zeInit returned {result:#x}")
    drivers = _handles(library.zeDriverGet)
    versions = [_version(library, driver) for driver in drivers]
    devices = [device for driver in drivers for device in _devices(library, driver)]
    sys.stdout.write(json.dumps({"version": versions[0] if versions else None, "devices": devices}))


def _handles(get: Callable[[Any, Any], int]) -> list[ctypes.c_void_p]:
    """A list takes two calls: the first gives the count, the second the handles."""
    count = ctypes.c_uint32()
    if get(ctypes.byref(count), None) != 0:
        return []
    handles = (ctypes.c_void_p * count.value)()
    get(ctypes.byref(count), handles)
    return [ctypes.c_void_p(handle) for handle in handles[: count.value]]


def _version(library: Any, driver: ctypes.c_void_p) -> str:
    number = ctypes.c_uint32()
    library.zeDriverGetApiVersion(driver, ctypes.byref(number))
    return f"{number.value >> 16}.{number.value & 0xFFFF}"


def _devices(library: Any, driver: ctypes.c_void_p) -> list[dict[str, Any]]:
    properties = _structure(DRIVER, DRIVER_BYTES)
    library.zeDriverGetProperties(driver, properties)
    (build,) = struct.unpack_from("=I", properties, 32)
    handles = _handles(partial(library.zeDeviceGet, driver))
    return [device for handle in handles if (device := _device(library, handle, build))]


def _device(library: Any, device: ctypes.c_void_p, build: int) -> dict[str, Any] | None:
    properties, pci = _structure(DEVICE, DEVICE_BYTES), _structure(PCI, PCI_BYTES)
    library.zeDeviceGetProperties(device, properties)
    kind, _, _, flags = struct.unpack_from("=4I", properties, 16)
    if kind != GPU:
        return None
    has_slot = library.zeDevicePciGetPropertiesExt(device, pci) == 0
    return {
        "name": properties.raw[112:368].split(b"\0", 1)[0].decode(errors="replace"),
        "integrated": bool(flags & INTEGRATED),
        "driver": str(build),
        "slot": "{:04x}:{:02x}:{:02x}.{:x}".format(*struct.unpack_from("=4I", pci, 16)) if has_slot else None,
        "memories": _memories(library, device),
    }


def _memories(library: Any, device: ctypes.c_void_p) -> list[int]:
    count = ctypes.c_uint32()
    library.zeDeviceGetMemoryProperties(device, ctypes.byref(count), None)
    buffer = ctypes.create_string_buffer(MEMORY_BYTES * count.value)
    starts = range(0, MEMORY_BYTES * count.value, MEMORY_BYTES)
    for start in starts:
        struct.pack_into("=I", buffer, start, MEMORY)
    library.zeDeviceGetMemoryProperties(device, ctypes.byref(count), buffer)
    return [struct.unpack_from("=Q", buffer, start + 32)[0] for start in starts[: count.value]]


def _structure(kind: int, size: int) -> "ctypes.Array[ctypes.c_char]":
    structure = ctypes.create_string_buffer(size)
    struct.pack_into("=I", structure, 0, kind)
    return structure


if __name__ == "__main__":
    main()
