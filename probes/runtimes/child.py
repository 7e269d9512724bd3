"""What a child says of a runtime whose drivers may crash or hang; the answer is its JSON."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from domain.accelerator import RuntimeDevice
from domain.hardware import Problem
from domain.provenance import Certainty, Provenance

TOLD = {
    "vulkan": Provenance("libvulkan", note="the loader's, asked by a child once a boot"),
    "vulkan_devices": Provenance(
        "libvulkan", note="without processors; each card once, by its place on the bus"
    ),
    "level_zero": Provenance("libze_loader", note="the driver's, asked by a child once a boot"),
    "level_zero_devices": Provenance("libze_loader"),
    "vulkan_driver_files": Provenance(
        "environment", Certainty.READ, "of this daemon, whose engines inherit it"
    ),
}
ANSWERS_WITHIN_S = 15.0  # a cold driver cache takes seconds (github.com/lutris/lutris/issues/6901)


@dataclass(frozen=True, slots=True)
class Runtime:
    """``version`` is that of the loader. Software devices are left out."""

    version: str | None = None
    devices: tuple[RuntimeDevice, ...] = ()
    problems: tuple[Problem, ...] = ()


def ask(source: str, module: str, *, within_s: float = ANSWERS_WITHIN_S) -> tuple[Any, tuple[Problem, ...]]:
    """The JSON that ``python -m MODULE`` prints, or None and why there is none."""
    command = [sys.executable, "-I", "-m", module]
    hint = f"its drivers don't work: see what vulkaninfo --summary or the makers' tools say ({source})"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
    except subprocess.TimeoutExpired:
        return None, (Problem(source, f"{source} gave no answer in {within_s:g} s", hint),)
    except OSError as error:
        return None, (Problem(source, f"{source} can't be asked: {error.strerror}", hint),)
    if done.returncode < 0:
        return None, (Problem(source, f"{source} crashed (signal {-done.returncode})", hint),)
    if done.returncode > 0:
        last = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        return None, (Problem(source, f"{source} does not start: {last}", hint),)
    try:
        return json.loads(done.stdout), ()
    except ValueError:
        return None, (Problem(source, f"{source} gave no readable answer", hint),)
