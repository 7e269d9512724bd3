"""What a probe hands back: values, what it could not read, and where each value comes from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from domain.hardware import Gpu, Hardware, Problem, Thermal
from domain.provenance import Provenance
from probes.gpus import device_table

T = TypeVar("T")

# By the name of the field. A module has one such table of its usual sources, and replaces in it what it
# found in another place this time
ToldBy = Mapping[str, Provenance]

OF_DRIVER = Provenance("nvml")  # sensors that hwmon doesn't have are NVIDIA's


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """One part of the machine. ``told`` may name fields that turned out unknown: they are left out."""

    value: T
    problems: tuple[Problem, ...] = ()
    told: ToldBy = field(default_factory=dict)

    def sources(self, part: str) -> dict[str, Provenance]:
        return sources(part, self.value, self.told)


@dataclass(frozen=True, slots=True)
class VendorReading:
    """The GPUs of one vendor. ``cuda`` is the highest CUDA version of the driver. Thermals are those that
    hwmon doesn't have. ``set_aside`` are GPUs that nothing is planned on, each with its reason. ``told`` is
    by the GPU's id, then by the field of ``Gpu``; a card without an entry is known by the device table."""

    gpus: tuple[Gpu, ...] = ()
    thermals: tuple[Thermal, ...] = ()
    problems: tuple[Problem, ...] = ()
    cuda: str | None = None
    set_aside: tuple[Gpu, ...] = ()
    told: Mapping[str, ToldBy] = field(default_factory=dict)

    def sources(self) -> dict[str, Provenance]:
        found = {f"thermals[{sensor.sensor}].temperature_c": OF_DRIVER for sensor in self.thermals}
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


def with_part(hardware: Hardware, part: str, reading: Reading[Any]) -> Hardware:
    """``hardware`` with its field ``part`` set to a reading."""
    changes: dict[str, Any] = {
        part: reading.value,
        "problems": (*hardware.problems, *reading.problems),
        "sources": {**hardware.sources, **reading.sources(part)},
    }
    return replace(hardware, **changes)


def with_items(
    hardware: Hardware, part: str, items: Sequence[Any], told: Callable[[Any], ToldBy]
) -> Hardware:
    """``hardware`` with ``items`` added to its field ``part``; an item is known by its id or its sensor."""
    if not items:
        return hardware
    named = dict(hardware.sources)
    for item in items:
        key = item.sensor if hasattr(item, "sensor") else item.id
        named |= sources(f"{part}[{key}]", item, told(item))
    changes: dict[str, Any] = {part: (*getattr(hardware, part), *items), "sources": named}
    return replace(hardware, **changes)


def with_gpus(hardware: Hardware, found: VendorReading) -> Hardware:
    """``hardware`` with the GPUs of one more vendor."""
    if found == VendorReading():
        return hardware
    return replace(
        hardware,
        gpus=(*hardware.gpus, *found.gpus),
        set_aside=(*hardware.set_aside, *found.set_aside),
        thermals=(*hardware.thermals, *found.thermals),
        stacks=replace(hardware.stacks, cuda=hardware.stacks.cuda or found.cuda),
        problems=(*hardware.problems, *found.problems),
        sources={**hardware.sources, **found.sources()},
    )
