"""Vulkan's devices, as libvulkan shows them to a child of ours.

A card stands there once for each driver that knows it, a processor as llvmpipe, and memory of a unified
machine as the sum of heaps that overlap: what is told here is for comparing, never for planning.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domain.accelerator import RuntimeDevice
from probes import sysfs
from probes.runtimes import child
from probes.runtimes.child import Runtime

CHILD = "probes.runtimes.vulkan_child"
KINDS = {1: "integrated", 2: "discrete", 3: "virtual"}  # VkPhysicalDeviceType; 4 is a processor

# Where drivers announce themselves, and what an owner sets to choose among them (Vulkan-Loader's
# docs/LoaderDriverInterface.md)
FOLDERS = ("usr/share/vulkan/icd.d", "usr/local/share/vulkan/icd.d", "etc/vulkan/icd.d")
CHOOSING = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")

# VkDriverId: of two drivers for one card the one that engines are tried on: RADV before AMD's own
PREFERRED = (3, 4, 6)


def driver_files(root: Path, environment: Mapping[str, str]) -> list[Path]:
    """Announcements of drivers; none means that there is nobody to ask."""
    chosen = [Path(path) for name in CHOOSING for path in environment.get(name, "").split(":") if path]
    folders = (root / folder for folder in FOLDERS)
    found = [folder / name for folder in folders for name in sysfs.entries(folder) if name.endswith(".json")]
    return [*chosen, *found]


def chosen_by(environment: Mapping[str, str]) -> str | None:
    """``"VK_DRIVER_FILES=/opt/radeon.json"`` where the environment chooses drivers."""
    return " ".join(f"{name}={environment[name]}" for name in CHOOSING if environment.get(name)) or None


def ask() -> Runtime:
    """Starts a child, which opens every GPU: one that sleeps would wake."""
    answer, problems = child.ask("vulkan", CHILD)
    return Runtime(problems=problems) if answer is None else parse(answer)


def parse(answer: Any) -> Runtime:
    """Without processors, each card once."""
    best: dict[str, Mapping[str, Any]] = {}
    for one in answer["devices"]:
        if one["kind"] in KINDS:
            key = one["slot"] or one["uuid"]
            best[key] = min(best.get(key, one), one, key=_rank)
    return Runtime(answer["version"], tuple(_device(one) for one in best.values()))


def _rank(one: Mapping[str, Any]) -> int:
    return PREFERRED.index(one["driver_id"]) if one["driver_id"] in PREFERRED else len(PREFERRED)


def _device(one: Mapping[str, Any]) -> RuntimeDevice:
    own = [size for size, is_local in one["heaps"] if is_local]
    return RuntimeDevice(
        name=one["name"],
        kind=KINDS[one["kind"]],
        gpu=f"pci:{one['slot']}" if one["slot"] else None,
        driver=one["driver"],
        api=one["api"],
        memory_bytes=max(own, default=None),
        heaps_bytes=tuple(size for size, _ in one["heaps"]),
    )
