"""Vulkan's devices, as libvulkan reports them to a child process.

libvulkan reports a card once for each of its drivers, a CPU as llvmpipe, and the memory of a unified machine
as heaps that overlap: these figures are shown for comparison and never used for planning.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domain.machine.accelerator import RuntimeDevice
from probes import sysfs
from probes.runtimes import child
from probes.runtimes.child import Runtime

CHILD = "probes.runtimes.vulkan_child"
KINDS = {1: "integrated", 2: "discrete", 3: "virtual"}  # VkPhysicalDeviceType; 4 is a CPU

# Folders of driver manifests, and the variables that select drivers (Vulkan-Loader's
# docs/LoaderDriverInterface.md)
FOLDERS = ("usr/share/vulkan/icd.d", "usr/local/share/vulkan/icd.d", "etc/vulkan/icd.d")
DRIVER_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")

# VkDriverId: of two drivers for one card the one that engines are tested with: RADV before AMD's own
PREFERRED_DRIVERS = (3, 4, 6)


def driver_files(root: Path, environment: Mapping[str, str]) -> list[Path]:
    """Driver manifests. Without any, libvulkan would report nothing."""
    selected = [
        Path(path) for name in DRIVER_VARIABLES for path in environment.get(name, "").split(":") if path
    ]
    folders = (root / folder for folder in FOLDERS)
    installed = [
        folder / name for folder in folders for name in sysfs.entries(folder) if name.endswith(".json")
    ]
    return [*selected, *installed]


def driver_selection(environment: Mapping[str, str]) -> str | None:
    """``"VK_DRIVER_FILES=/opt/radeon.json"`` if the environment selects drivers."""
    return (
        " ".join(f"{name}={environment[name]}" for name in DRIVER_VARIABLES if environment.get(name)) or None
    )


def probe() -> Runtime:
    """Starts a child that opens every GPU, which wakes those that sleep."""
    output, problems = child.run("vulkan", CHILD)
    return Runtime(problems=problems) if output is None else parse(output)


def parse(output: Any) -> Runtime:
    """Without CPUs, each card once."""
    best: dict[str, Mapping[str, Any]] = {}
    for device in output["devices"]:
        if device["kind"] in KINDS:
            key = device["slot"] or device["uuid"]
            best[key] = min(best.get(key, device), device, key=_driver_rank)
    return Runtime(output["version"], tuple(_device(device) for device in best.values()))


def _driver_rank(device: Mapping[str, Any]) -> int:
    driver = device["driver_id"]
    return PREFERRED_DRIVERS.index(driver) if driver in PREFERRED_DRIVERS else len(PREFERRED_DRIVERS)


def _device(device: Mapping[str, Any]) -> RuntimeDevice:
    local = [size for size, is_local in device["heaps"] if is_local]
    return RuntimeDevice(
        name=device["name"],
        kind=KINDS[device["kind"]],
        gpu=f"pci:{device['slot']}" if device["slot"] else None,
        driver=device["driver"],
        api=device["api"],
        memory_bytes=max(local, default=None),
        heaps_bytes=tuple(size for size, _ in device["heaps"]),
    )
