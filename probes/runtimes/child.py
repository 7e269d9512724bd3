"""Runs a child that loads a runtime whose drivers may crash or hang, and reads the JSON that it prints."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from domain.machine.accelerator import RuntimeDevice
from domain.machine.hardware import Problem
from domain.machine.provenance import Certainty, Provenance

SOURCES = {
    "vulkan": Provenance("libvulkan", note="of the loader; read in a child once a boot"),
    "vulkan_devices": Provenance("libvulkan", note="without CPUs; each card once, by its PCI slot"),
    "level_zero": Provenance("libze_loader", note="of the driver; read in a child once a boot"),
    "level_zero_devices": Provenance("libze_loader"),
    "vulkan_driver_files": Provenance(
        "environment", Certainty.READ, "of this daemon, whose engines inherit it"
    ),
}
TIMEOUT_S = 15.0  # a cold driver cache takes seconds (github.com/lutris/lutris/issues/6901)


@dataclass(frozen=True, slots=True)
class Runtime:
    """``version`` is that of the loader. Devices without software renderers."""

    version: str | None = None
    devices: tuple[RuntimeDevice, ...] = ()
    problems: tuple[Problem, ...] = ()


def run(source: str, module: str, *, timeout_s: float = TIMEOUT_S) -> tuple[Any, tuple[Problem, ...]]:
    """The JSON that ``python -m MODULE`` prints, or None and a problem."""
    command = [sys.executable, "-I", "-m", module]
    hint = f"check its drivers with vulkaninfo --summary or the vendor's tools ({source})"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return None, (Problem(source, f"{source} did not answer in {timeout_s:g} s", hint),)
    except OSError as error:
        return None, (Problem(source, f"{source} can't be started: {error.strerror}", hint),)
    if done.returncode < 0:
        return None, (Problem(source, f"{source} crashed (signal {-done.returncode})", hint),)
    if done.returncode > 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return None, (Problem(source, f"{source} does not start: {last}", hint),)
    try:
        return json.loads(done.stdout), ()
    except (ValueError, RecursionError):
        return None, (Problem(source, f"{source} printed no valid JSON", hint),)
