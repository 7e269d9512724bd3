"""Temperature sensors: hwmon walked device by device, and thermal zones that hwmon doesn't have.

A sensor is named driver/device/label, because two cards have the same driver and labels. Sensors of a
device that sleeps are left alone: reading them wakes it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from domain.hardware import Thermal
from domain.told import Told
from probes import files, pci

TOLD = Told("hwmon")
INPUT = re.compile(r"temp[0-9]+_input")

# Outside of these a reading is a driver's way to say "none": -273.15 and 0 of amdgpu, 149 of Tccd on
# Strix Halo (github.com/mattkeenan/zenpower5/issues/10); limits: 65261.85 of nvme, -273.15 of amdgpu
READING_C = (-40, 140)
LIMIT_C = (30, 130)


def probe(root: Path) -> tuple[Thermal, ...]:
    folders = [root / "sys/class/hwmon" / name for name in files.entries(root / "sys/class/hwmon")]
    drivers = {files.read(folder / "name") for folder in folders}
    return (*(sensor for folder in folders for sensor in _hwmon(folder)), *_zones(root, drivers))


def _hwmon(folder: Path) -> Iterator[Thermal]:
    if pci.asleep(folder / "device"):
        return
    driver = files.read(folder / "name") or "hwmon"
    device = files.link_name(folder / "device") or folder.name
    for entry in files.entries(folder):
        if not INPUT.fullmatch(entry):
            continue
        number = entry.removesuffix("_input")
        label = files.read(folder / f"{number}_label") or number
        sensor = thermal(
            f"{driver}/{device}/{label}",
            _celsius(folder / entry),
            _celsius(folder / f"{number}_max"),
            _celsius(folder / f"{number}_crit"),
        )
        if sensor:
            yield sensor


def _zones(root: Path, drivers: set[str | None]) -> Iterator[Thermal]:
    """Boards without an hwmon chip for the processor (Jetson) have thermal zones only."""
    folder = root / "sys/class/thermal"
    for name in files.entries(folder):
        kind = files.read(folder / name / "type")
        if not kind or not name.startswith("thermal_zone"):
            continue
        # the kernel gives a zone's hwmon the same name; x86_pkg_temp is coretemp's package sensor
        if kind.replace("-", "_") in drivers or (kind == "x86_pkg_temp" and "coretemp" in drivers):
            continue
        sensor = thermal(f"thermal/{name}/{kind}", _celsius(folder / name / "temp"))
        if sensor:
            yield sensor


def thermal(
    sensor: str, reading_c: float | None, high_c: float | None = None, critical_c: float | None = None
) -> Thermal | None:
    """A sensor, unless its reading is a sentinel; limits that are sentinels are unknown."""
    reading = plausible(reading_c)
    if reading is None:
        return None
    return Thermal(sensor, reading, _limit(high_c), _limit(critical_c))


def plausible(reading_c: float | None) -> float | None:
    low, high = READING_C
    return reading_c if reading_c is not None and low < reading_c < high and reading_c != 0 else None


def _limit(limit_c: float | None) -> float | None:
    low, high = LIMIT_C
    return limit_c if limit_c is not None and low <= limit_c <= high else None


def _celsius(path: Path) -> float | None:
    millidegrees = files.read_int(path)
    return None if millidegrees is None else millidegrees / 1000
