"""Temperature sensors: those of hwmon, and thermal zones that hwmon doesn't have. Which one is the CPU's."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from domain.hardware import Thermal
from domain.provenance import Certainty, Provenance
from probes import sysfs
from probes.sensors.hwmon import Chip

INPUT = re.compile(r"temp[0-9]+_input")
TOLD, ZONE_TOLD = Provenance("hwmon"), Provenance("thermal_zone")

# Outside of these a reading is a driver's way to say "none": -273.15 and 0 of amdgpu, 149 of Tccd on
# Strix Halo (github.com/mattkeenan/zenpower5/issues/10); limits: 65261.85 of nvme, -273.15 of amdgpu
READING_C = (-40, 140)
LIMIT_C = (30, 130)

# Driver and label, the best first. Tctl is the control value, with an offset on some parts, so Tdie goes
# before it; an ACPI zone is often a constant
OF_CPU = (
    (re.compile(r"coretemp/.*/Package id [0-9]+"), Certainty.READ, "the hottest package"),
    (re.compile(r"(k10temp|zenpower)/.*/Tdie"), Certainty.READ, ""),
    (re.compile(r"(k10temp|zenpower)/.*/Tctl"), Certainty.READ, "the control value: some add an offset"),
    (re.compile(r"cpu_thermal/.*|thermal/[^/]*/(x86_pkg_temp|cpu[-_]thermal)"), Certainty.READ, ""),
    (re.compile(r"acpitz/.*|thermal/[^/]*/acpitz"), Certainty.ASSUMED, "an ACPI zone, often a constant"),
)  # fmt: skip


def probe(root: Path, chips: Sequence[Chip]) -> tuple[Thermal, ...]:
    drivers = {chip.driver for chip in chips}
    return (*(sensor for chip in chips for sensor in _hwmon(chip)), *_zones(root, drivers))


def told(sensor: Thermal) -> Mapping[str, Provenance]:
    return {"temperature_c": _told(sensor)}


def _told(sensor: Thermal) -> Provenance:
    return ZONE_TOLD if sensor.sensor.startswith("thermal/") else TOLD


def of_cpu(sensors: Sequence[Thermal]) -> tuple[float | None, Provenance]:
    """The CPU's temperature, by the best sensor there is, and which that was."""
    for pattern, certainty, note in OF_CPU:
        found = [sensor for sensor in sensors if pattern.fullmatch(sensor.sensor)]
        if found:
            hottest = max(found, key=lambda sensor: sensor.temperature_c)
            words = f"{hottest.sensor}, {note}" if note else hottest.sensor
            return hottest.temperature_c, Provenance(_told(hottest).source, certainty, words)
    return None, TOLD


def _hwmon(chip: Chip) -> Iterator[Thermal]:
    for channel in chip.channels(INPUT):
        sensor = thermal(
            chip.sensor(channel),
            _celsius(chip.read(f"{channel}_input")),
            _celsius(chip.read(f"{channel}_max")),
            _celsius(chip.read(f"{channel}_crit")),
            _celsius(chip.read(f"{channel}_emergency")),
            device=chip.owner,
        )
        if sensor:
            yield sensor


def _zones(root: Path, drivers: set[str]) -> Iterator[Thermal]:
    """Boards without an hwmon chip for the processor (Jetson) have thermal zones only."""
    folder = root / "sys/class/thermal"
    for name in sysfs.entries(folder):
        kind = sysfs.read(folder / name / "type")
        if not kind or not name.startswith("thermal_zone"):
            continue
        # the kernel gives a zone's hwmon the same name; x86_pkg_temp is coretemp's package sensor
        if kind.replace("-", "_") in drivers or (kind == "x86_pkg_temp" and "coretemp" in drivers):
            continue
        reading = _celsius(sysfs.read_int(folder / name / "temp"))
        sensor = thermal(f"thermal/{name}/{kind}", reading, device=name)
        if sensor:
            yield sensor


def thermal(
    sensor: str,
    reading_c: float | None,
    high_c: float | None = None,
    critical_c: float | None = None,
    emergency_c: float | None = None,
    *,
    device: str | None = None,
) -> Thermal | None:
    """A sensor, unless its reading is a sentinel; limits that are sentinels are unknown."""
    reading = plausible(reading_c)
    if reading is None:
        return None
    return Thermal(sensor, reading, _limit(high_c), _limit(critical_c), _limit(emergency_c), device)


def plausible(reading_c: float | None) -> float | None:
    low, high = READING_C
    return reading_c if reading_c is not None and low < reading_c < high and reading_c != 0 else None


def _limit(limit_c: float | None) -> float | None:
    low, high = LIMIT_C
    return limit_c if limit_c is not None and low <= limit_c <= high else None


def _celsius(millidegrees: int | None) -> float | None:
    return None if millidegrees is None else millidegrees / 1000
