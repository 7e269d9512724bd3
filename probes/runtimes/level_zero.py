"""Level Zero's devices, as Intel's loader reports them to a child process."""

from pathlib import Path
from typing import Any

from domain.machine.accelerator import RuntimeDevice
from probes import sysfs
from probes.runtimes import child
from probes.runtimes.child import Runtime

CHILD = "probes.runtimes.level_zero_child"

# The driver for GPUs, without which the loader reports no device
DRIVERS = ("libze_intel_gpu.so.1", "libze_intel_gpu_legacy1.so.1")
FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib", "usr/local/lib")


def libraries(root: Path) -> list[Path]:
    paths = (root / folder / name for folder in FOLDERS for name in DRIVERS)
    return [path for path in paths if sysfs.exists(path)]


def probe() -> Runtime:
    output, problems = child.run("level_zero", CHILD)
    return Runtime(problems=problems) if output is None else parse(output)


def parse(output: Any) -> Runtime:
    devices = tuple(
        RuntimeDevice(
            name=device["name"],
            kind="integrated" if device["integrated"] else "discrete",
            gpu=f"pci:{device['slot']}" if device["slot"] else None,
            driver=device["driver"],
            api=output["version"],
            memory_bytes=max(device["memories"], default=None),
            heaps_bytes=tuple(device["memories"]),
        )
        for device in output["devices"]
    )
    return Runtime(output["version"], devices)
