"""Vulkan and Level Zero, read in child processes. Not part of a snapshot, because it wakes sleeping GPUs."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from domain.machine.hardware import Hardware
from probes import sysfs
from probes.result import sources
from probes.runtimes import child, level_zero, vulkan
from probes.runtimes.child import Runtime


@dataclass(frozen=True, slots=True)
class Runtimes:
    vulkan: Runtime = field(default_factory=Runtime)
    level_zero: Runtime = field(default_factory=Runtime)
    driver_files: str | None = None


def cache_key(root: Path, hardware: Hardware) -> str | None:
    """What the result depends on: drivers, their selection, the GPUs. None while one of the GPUs sleeps."""
    gpus = (*hardware.gpus, *hardware.set_aside)
    if any(gpu.asleep for gpu in gpus):
        return None
    drivers = [*vulkan.driver_files(root, os.environ), *level_zero.libraries(root)]
    selection = vulkan.driver_selection(os.environ)
    return repr((drivers, sysfs.modification_key(drivers), selection, [gpu.id for gpu in gpus]))


def probe(root: Path) -> Runtimes:
    """Starts a child for each runtime that has a driver. Blocks for half a second, at most 30 s."""
    environment = os.environ
    return Runtimes(
        vulkan.probe() if vulkan.driver_files(root, environment) else Runtime(),
        level_zero.probe() if level_zero.libraries(root) else Runtime(),
        vulkan.driver_selection(environment),
    )


def with_runtimes(hardware: Hardware, runtimes: Runtimes) -> Hardware:
    stacks = replace(
        hardware.stacks,
        vulkan=runtimes.vulkan.version,
        vulkan_devices=runtimes.vulkan.devices,
        level_zero=runtimes.level_zero.version,
        level_zero_devices=runtimes.level_zero.devices,
        vulkan_driver_files=runtimes.driver_files,
    )
    others = (problem for problem in hardware.problems if problem.source not in ("vulkan", "level_zero"))
    return replace(
        hardware,
        stacks=stacks,
        problems=(*others, *runtimes.vulkan.problems, *runtimes.level_zero.problems),
        sources={**hardware.sources, **sources("stacks", stacks, child.SOURCES)},
    )
