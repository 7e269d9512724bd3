"""Level Zero's devices, as Intel's loader shows them to a child of ours."""

from pathlib import Path
from typing import Any

from domain.accelerator import RuntimeDevice
from probes import sysfs
from probes.runtimes import child
from probes.runtimes.child import Runtime

CHILD = "probes.runtimes.level_zero_child"

# The driver for GPUs, without which the loader knows no device
DRIVERS = ("libze_intel_gpu.so.1", "libze_intel_gpu_legacy1.so.1")
FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib", "usr/local/lib")


def libraries(root: Path) -> list[Path]:
    paths = (root / folder / name for folder in FOLDERS for name in DRIVERS)
    return [path for path in paths if sysfs.exists(path)]


def ask() -> Runtime:
    answer, problems = child.ask("level_zero", CHILD)
    return Runtime(problems=problems) if answer is None else parse(answer)


def parse(answer: Any) -> Runtime:
    devices = tuple(
        RuntimeDevice(
            name=one["name"],
            kind="integrated" if one["integrated"] else "discrete",
            gpu=f"pci:{one['slot']}" if one["slot"] else None,
            driver=one["driver"],
            api=answer["version"],
            memory_bytes=max(one["memories"], default=None),
            heaps_bytes=tuple(one["memories"]),
        )
        for one in answer["devices"]
    )
    return Runtime(answer["version"], devices)
