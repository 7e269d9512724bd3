"""What a probe hands back: a value, what it could not read, and who told each part of the value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from domain.hardware import Gpu, Problem, Thermal
from domain.provenance import Provenance
from probes.gpus import device_table

T = TypeVar("T")

# By the name of the field. A module has one such table of what it usually says, and replaces in it what
# it found in another place this time
ToldBy = Mapping[str, Provenance]

OF_DRIVER = Provenance("nvml")  # sensors that hwmon doesn't have are NVIDIA's


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """One part of the machine. ``told`` may name fields that turned out unknown: they are left out."""

    value: T
    problems: tuple[Problem, ...] = ()
    told: ToldBy = field(default_factory=dict)

    def sources(self, where: str) -> dict[str, Provenance]:
        return sources(where, self.value, self.told)


@dataclass(frozen=True, slots=True)
class Found:
    """What one vendor's probe hands back. ``cuda`` is the highest CUDA version of the driver. Thermals are
    those that hwmon doesn't have. ``set_aside`` are GPUs that nothing is planned on, each with its reason.
    ``told`` is by the GPU's id, then by the field of ``Gpu``; a card without one is known by the table."""

    gpus: tuple[Gpu, ...] = ()
    thermals: tuple[Thermal, ...] = ()
    problems: tuple[Problem, ...] = ()
    cuda: str | None = None
    set_aside: tuple[Gpu, ...] = ()
    told: Mapping[str, ToldBy] = field(default_factory=dict)

    def sources(self) -> dict[str, Provenance]:
        found = {f"thermals[{one.sensor}].temperature_c": OF_DRIVER for one in self.thermals}
        for part, cards in (("gpus", self.gpus), ("set_aside", self.set_aside)):
            for gpu in cards:
                told = dict(self.told.get(gpu.id, device_table.TOLD))
                if "bandwidth_bytes_per_s" in told:
                    told["bandwidth_source"] = told["bandwidth_bytes_per_s"]
                found |= sources(f"{part}[{gpu.id}]", gpu, told)
        return found


def sources(where: str, value: Any, told: ToldBy) -> dict[str, Provenance]:
    """``told`` by the full name of each value that is known: ``memory`` and ``total_bytes`` give
    ``memory.total_bytes``."""
    there = (name for name in told if getattr(value, name) not in (None, ()))
    return {f"{where}.{name}": told[name] for name in there}
