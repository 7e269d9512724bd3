"""What Vulkan and Level Zero show, asked of children: seldom, since a GPU that sleeps would wake."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from domain.hardware import Hardware
from probes import sysfs
from probes.runtimes import child, level_zero, vulkan
from probes.runtimes.child import Runtime


@dataclass(frozen=True, slots=True)
class Runtimes:
    vulkan: Runtime = field(default_factory=Runtime)
    level_zero: Runtime = field(default_factory=Runtime)
    driver_files: str | None = None


def key(root: Path, seen: Hardware) -> str | None:
    """What the answers hang on: drivers, how they are chosen, the GPUs. None while one of these sleeps."""
    if any(gpu.asleep for gpu in (*seen.gpus, *seen.set_aside)):
        return None
    announced = [*vulkan.driver_files(root, os.environ), *level_zero.libraries(root)]
    gpus = [gpu.id for gpu in (*seen.gpus, *seen.set_aside)]
    return repr((announced, sysfs.stamp(announced), vulkan.chosen_by(os.environ), gpus))


def ask(root: Path) -> Runtimes:
    """Starts a child for each runtime that has a driver here. Blocks for half a second, 30 s at most."""
    environment = os.environ
    return Runtimes(
        vulkan.ask() if vulkan.driver_files(root, environment) else Runtime(),
        level_zero.ask() if level_zero.libraries(root) else Runtime(),
        vulkan.chosen_by(environment),
    )


def with_runtimes(seen: Hardware, found: Runtimes) -> Hardware:
    stacks = replace(
        seen.stacks,
        vulkan=found.vulkan.version,
        vulkan_devices=found.vulkan.devices,
        level_zero=found.level_zero.version,
        level_zero_devices=found.level_zero.devices,
        vulkan_driver_files=found.driver_files,
    )
    told = {f"stacks.{name}": one for name, one in child.TOLD.items() if getattr(stacks, name)}
    others = (one for one in seen.problems if one.source not in ("vulkan", "level_zero"))
    problems = (*others, *found.vulkan.problems, *found.level_zero.problems)
    return replace(seen, stacks=stacks, problems=problems, sources={**seen.sources, **told})
