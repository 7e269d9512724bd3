"""Lists the devices of libvulkan, in a process of its own because a driver may crash or hang.

    python -m probes.runtimes.vulkan_child

Prints JSON. The layouts are those of vulkan_core.h for 64-bit machines; the few fields that are needed are
read from plain buffers.
"""

import ctypes
import json
import struct
import sys
from collections.abc import Iterator
from typing import Any

API_1_1 = 1 << 22 | 1 << 12
APPLICATION_INFO, INSTANCE_CREATE_INFO = 0, 1
PROPERTIES_2, DRIVER, PCI_BUS, ID = 1000059001, 1000196000, 1000212000, 1000071004
PCI_EXTENSION = b"VK_EXT_pci_bus_info"
# Bytes of the structures, with their two words of type and chain
SIZES = {PROPERTIES_2: 840, DRIVER: 536, PCI_BUS: 32, ID: 64}
MEMORY_BYTES = 520
EXTENSION_BYTES = 260
HEAPS_AT, HEAP_BYTES, DEVICE_LOCAL = 264, 16, 1


def main() -> None:
    try:
        library = ctypes.CDLL("libvulkan.so.1")
    except OSError as error:
        sys.exit(f"libvulkan.so.1: {error}")
    version = ctypes.c_uint32(1 << 22)
    library.vkEnumerateInstanceVersion(ctypes.byref(version))
    instance = _instance(library)
    try:
        devices = [_device(library, device) for device in _devices(library, instance)]
    finally:
        library.vkDestroyInstance(instance, None)
    sys.stdout.write(json.dumps({"version": _version(version.value), "devices": devices}))


def _instance(library: Any) -> ctypes.c_void_p:
    application = ctypes.create_string_buffer(
        struct.pack("=IxxxxQQIxxxxQII", APPLICATION_INFO, 0, 0, 0, 0, 0, API_1_1)
    )
    create = ctypes.create_string_buffer(
        struct.pack(
            "=IxxxxQIxxxxQIxxxxQIxxxxQ", INSTANCE_CREATE_INFO, 0, 0, ctypes.addressof(application), 0, 0, 0, 0
        )
    )
    instance = ctypes.c_void_p()
    result = library.vkCreateInstance(create, None, ctypes.byref(instance))
    if result != 0:
        sys.exit(f"vkCreateInstance returned {result}")
    return instance


def _devices(library: Any, instance: ctypes.c_void_p) -> list[ctypes.c_void_p]:
    count = ctypes.c_uint32()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    handles = (ctypes.c_void_p * count.value)()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
    return [ctypes.c_void_p(handle) for handle in handles[: count.value]]


def _device(library: Any, device: ctypes.c_void_p) -> dict[str, Any]:
    properties, driver, bus, identity = _chain(PROPERTIES_2, DRIVER, PCI_BUS, ID)
    library.vkGetPhysicalDeviceProperties2(device, properties)
    api, _, vendor, product, kind = struct.unpack_from("=5I", properties, 16)
    has_bus = PCI_EXTENSION in _extensions(library, device)
    return {
        "name": _text(properties, 36),
        "kind": kind,
        "api": _version(api),
        "pci_id": f"{vendor:04x}:{product:04x}",
        "driver_id": struct.unpack_from("=I", driver, 16)[0],
        "driver": f"{_text(driver, 20)} {_text(driver, 276)}".strip(),
        "slot": "{:04x}:{:02x}:{:02x}.{:x}".format(*struct.unpack_from("=4I", bus, 16)) if has_bus else None,
        "uuid": identity.raw[16:32].hex(),
        "heaps": list(_heaps(library, device)),
    }


def _chain(*kinds: int) -> list[ctypes.Array[ctypes.c_char]]:
    """Structures of these kinds, each pointing to the next."""
    chain = [ctypes.create_string_buffer(SIZES[kind]) for kind in kinds]
    for kind, structure, successor in zip(kinds, chain, [*chain[1:], None], strict=True):
        struct.pack_into("=IxxxxQ", structure, 0, kind, ctypes.addressof(successor) if successor else 0)
    return chain


def _extensions(library: Any, device: ctypes.c_void_p) -> set[bytes]:
    count = ctypes.c_uint32()
    library.vkEnumerateDeviceExtensionProperties(device, None, ctypes.byref(count), None)
    buffer = ctypes.create_string_buffer(EXTENSION_BYTES * count.value)
    library.vkEnumerateDeviceExtensionProperties(device, None, ctypes.byref(count), buffer)
    starts = range(0, EXTENSION_BYTES * count.value, EXTENSION_BYTES)
    return {buffer.raw[start : start + 256].split(b"\0", 1)[0] for start in starts}


def _heaps(library: Any, device: ctypes.c_void_p) -> Iterator[tuple[int, bool]]:
    """Bytes of each heap, and whether it is device-local."""
    memory = ctypes.create_string_buffer(MEMORY_BYTES)
    library.vkGetPhysicalDeviceMemoryProperties(device, memory)
    (count,) = struct.unpack_from("=I", memory, HEAPS_AT - 4)
    for index in range(min(count, 16)):
        size, flags = struct.unpack_from("=QI", memory, HEAPS_AT + HEAP_BYTES * index)
        yield size, bool(flags & DEVICE_LOCAL)


def _text(buffer: ctypes.Array[ctypes.c_char], start: int) -> str:
    return buffer.raw[start : start + 256].split(b"\0", 1)[0].decode(errors="replace")


def _version(number: int) -> str:
    return f"{number >> 22 & 0x7F}.{number >> 12 & 0x3FF}.{number & 0xFFF}"


if __name__ == "__main__":
    main()
