"""Temperature sensors: those of hwmon, and thermal zones that hwmon lacks; and which one is the CPU's."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domain.machine.hardware import Hardware, Thermal
from domain.machine.provenance import Certainty, Provenance
from probes import sysfs
from probes.result import with_items
from probes.sensors.hwmon import Chip

INPUT = re.compile(r"temp[0-9]+_input")
SOURCE, ZONE_SOURCE = Provenance("hwmon"), Provenance("thermal_zone")

# Values outside these ranges stand for "none": readings of -273.15 and 0 (amdgpu), 149 (Tccd on Strix Halo,
# github.com/mattkeenan/zenpower5/issues/10), 127 to 128 and -128 (inputs of a board's chip that nothing is
# connected to), limits of 65261.85 (nvme) and -273.15 (amdgpu). Chips shut down below 125
READING_C = (-40, 125)
LIMIT_C = (30, 130)

# Driver and label, the best first. Tctl is the control value, which has an offset on some parts, so Tdie is
# preferred; an ACPI zone is often a constant
CPU_SENSORS = (
    (re.compile(r"coretemp/.*/Package id [0-9]+"), Certainty.READ, "the hottest package"),
    (re.compile(r"(k10temp|zenpower)/.*/Tdie"), Certainty.READ, ""),
    (re.compile(r"(k10temp|zenpower)/.*/Tctl"), Certainty.READ, "the control value, with an offset on some"),
    (re.compile(r"cpu_thermal/.*|thermal/[^/]*/(x86_pkg_temp|cpu[-_]thermal)"), Certainty.READ, ""),
    (re.compile(r"acpitz/.*|thermal/[^/]*/acpitz"), Certainty.ASSUMED, "an ACPI zone, often a constant"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Readings:
    """``dropped`` are the sensors whose readings are implausible, with these readings in °C."""

    thermals: tuple[Thermal, ...]
    dropped: Mapping[str, float]


def probe(root: Path, chips: Sequence[Chip]) -> Readings:
    drivers = {chip.driver for chip in chips}
    read = [
        *(sensor for chip in chips for sensor in _hwmon_sensors(chip)),
        *_thermal_zones(root, drivers),
    ]
    return Readings(
        tuple(sensor for sensor in read if isinstance(sensor, Thermal)),
        dict(sensor for sensor in read if not isinstance(sensor, Thermal)),
    )


def with_readings(hardware: Hardware, readings: Readings) -> Hardware:
    """``hardware`` with the sensors, and with what was dropped among the sources."""
    hardware = with_items(hardware, "thermals", readings.thermals, sources_of)
    dropped = {
        f"thermals[{sensor}].temperature_c": Provenance(
            "hwmon", note=f"dropped: {reading_c:g} °C, which is no temperature of a chip"
        )
        for sensor, reading_c in readings.dropped.items()
    }
    return replace(hardware, sources={**hardware.sources, **dropped})


def sources_of(sensor: Thermal) -> Mapping[str, Provenance]:
    return {"temperature_c": _source_of(sensor)}


def _source_of(sensor: Thermal) -> Provenance:
    return ZONE_SOURCE if sensor.sensor.startswith("thermal/") else SOURCE


def cpu_temperature(sensors: Sequence[Thermal]) -> tuple[float | None, Provenance]:
    """The CPU's temperature from the best sensor there is, and which one that is."""
    for pattern, certainty, note in CPU_SENSORS:
        matching = [sensor for sensor in sensors if pattern.fullmatch(sensor.sensor)]
        if matching:
            hottest = max(matching, key=lambda sensor: sensor.temperature_c)
            full_note = f"{hottest.sensor}, {note}" if note else hottest.sensor
            return hottest.temperature_c, Provenance(_source_of(hottest).source, certainty, full_note)
    return None, SOURCE


def _hwmon_sensors(chip: Chip) -> Iterator[Thermal | tuple[str, float]]:
    for channel in chip.channels(INPUT):
        name, reading_c = chip.sensor_name(channel), _celsius(chip.read(f"{channel}_input"))
        sensor = build_thermal(
            name,
            reading_c,
            _celsius(chip.read(f"{channel}_max")),
            _celsius(chip.read(f"{channel}_crit")),
            _celsius(chip.read(f"{channel}_emergency")),
            device=chip.device_id,
        )
        if sensor:
            yield sensor
        elif reading_c is not None:
            yield name, reading_c


def _thermal_zones(root: Path, drivers: set[str]) -> Iterator[Thermal | tuple[str, float]]:
    """Boards without an hwmon chip for the processor (Jetson) have only thermal zones."""
    folder = root / "sys/class/thermal"
    for name in sysfs.entries(folder):
        kind = sysfs.read(folder / name / "type")
        if not kind or not name.startswith("thermal_zone"):
            continue
        # the kernel gives a zone's hwmon the same name; x86_pkg_temp is coretemp's package sensor
        if kind.replace("-", "_") in drivers or (kind == "x86_pkg_temp" and "coretemp" in drivers):
            continue
        reading_c = _celsius(sysfs.read_int(folder / name / "temp"))
        sensor = build_thermal(f"thermal/{name}/{kind}", reading_c, device=name)
        if sensor:
            yield sensor
        elif reading_c is not None:
            yield f"thermal/{name}/{kind}", reading_c


def build_thermal(
    sensor: str,
    reading_c: float | None,
    high_c: float | None = None,
    critical_c: float | None = None,
    emergency_c: float | None = None,
    *,
    device: str | None = None,
) -> Thermal | None:
    """A sensor; None if its reading is implausible. Implausible limits are unknown."""
    reading = plausible_c(reading_c)
    if reading is None:
        return None
    return Thermal(
        sensor,
        reading,
        _plausible_limit_c(high_c),
        _plausible_limit_c(critical_c),
        _plausible_limit_c(emergency_c),
        device,
    )


def plausible_c(reading_c: float | None) -> float | None:
    low, high = READING_C
    return reading_c if reading_c is not None and low < reading_c < high and reading_c != 0 else None


def _plausible_limit_c(limit_c: float | None) -> float | None:
    low, high = LIMIT_C
    return limit_c if limit_c is not None and low <= limit_c <= high else None


def _celsius(millidegrees: int | None) -> float | None:
    return None if millidegrees is None else millidegrees / 1000
