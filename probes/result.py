"""What a probe returns (values, problems, provenance of each value), and how it is added to ``Hardware``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from domain.machine.hardware import Gpu, Hardware, Problem, Thermal
from domain.machine.provenance import Provenance
from probes.gpus import device_table

T = TypeVar("T")

# Provenance by the name of the field. A module has a table of its usual sources (SOURCES) and replaces the
# entries whose values it read elsewhere this time
FieldSources = Mapping[str, Provenance]

DRIVER_SENSOR = Provenance("nvml")  # only NVIDIA's driver has sensors that hwmon lacks


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """One part of the machine. ``provenance`` may name fields whose value is unknown: they are left out of
    ``sources``."""

    value: T
    problems: tuple[Problem, ...] = ()
    provenance: FieldSources = field(default_factory=dict)

    def sources(self, part: str) -> dict[str, Provenance]:
        return sources(part, self.value, self.provenance)


@dataclass(frozen=True, slots=True)
class VendorReading:
    """The GPUs of one vendor. ``cuda`` is the highest CUDA version that the driver runs. ``thermals`` are
    sensors that hwmon lacks. ``set_aside`` are GPUs that no plan uses, each with its reason. ``provenance``
    is by the GPU's id, then by the field of ``Gpu``; a GPU without an entry comes from the device table."""

    gpus: tuple[Gpu, ...] = ()
    thermals: tuple[Thermal, ...] = ()
    problems: tuple[Problem, ...] = ()
    cuda: str | None = None
    set_aside: tuple[Gpu, ...] = ()
    provenance: Mapping[str, FieldSources] = field(default_factory=dict)

    def plus(self, other: "VendorReading") -> "VendorReading":
        """With the GPUs of another reading of the same vendor after its own."""
        return VendorReading(
            (*self.gpus, *other.gpus),
            (*self.thermals, *other.thermals),
            (*self.problems, *other.problems),
            self.cuda or other.cuda,
            (*self.set_aside, *other.set_aside),
            {**self.provenance, **other.provenance},
        )

    def sources(self) -> dict[str, Provenance]:
        named = {f"thermals[{sensor.sensor}].temperature_c": DRIVER_SENSOR for sensor in self.thermals}
        for part, gpus in (("gpus", self.gpus), ("set_aside", self.set_aside)):
            for gpu in gpus:
                provenance = dict(self.provenance.get(gpu.id, device_table.SOURCES))
                if "bandwidth_bytes_per_s" in provenance:
                    provenance["bandwidth_source"] = provenance["bandwidth_bytes_per_s"]
                named |= sources(f"{part}[{gpu.id}]", gpu, provenance)
        return named


def sources(part: str, value: Any, provenance: FieldSources) -> dict[str, Provenance]:
    """``provenance`` by the full name of each field that has a value: ``memory.total_bytes``."""
    known = (name for name in provenance if getattr(value, name) not in (None, ()))
    return {f"{part}.{name}": provenance[name] for name in known}


def with_part(hardware: Hardware, part: str, reading: Reading[Any]) -> Hardware:
    """``hardware`` with its field ``part`` set from ``reading``."""
    changes: dict[str, Any] = {
        part: reading.value,
        "problems": (*hardware.problems, *reading.problems),
        "sources": {**hardware.sources, **reading.sources(part)},
    }
    return replace(hardware, **changes)


def with_items(
    hardware: Hardware, part: str, items: Sequence[Any], sources_of: Callable[[Any], FieldSources]
) -> Hardware:
    """``hardware`` with ``items`` added to its field ``part``. An item is named by its id or its sensor."""
    if not items:
        return hardware
    named = dict(hardware.sources)
    for item in items:
        name = item.sensor if hasattr(item, "sensor") else item.id
        named |= sources(f"{part}[{name}]", item, sources_of(item))
    changes: dict[str, Any] = {part: (*getattr(hardware, part), *items), "sources": named}
    return replace(hardware, **changes)


def with_gpus(hardware: Hardware, reading: VendorReading) -> Hardware:
    """``hardware`` with the GPUs of one more vendor."""
    if reading == VendorReading():
        return hardware
    return replace(
        hardware,
        gpus=(*hardware.gpus, *reading.gpus),
        set_aside=(*hardware.set_aside, *reading.set_aside),
        thermals=(*hardware.thermals, *reading.thermals),
        stacks=replace(hardware.stacks, cuda=hardware.stacks.cuda or reading.cuda),
        problems=(*hardware.problems, *reading.problems),
        sources={**hardware.sources, **reading.sources()},
    )
