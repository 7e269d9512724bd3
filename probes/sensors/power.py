"""What devices draw: hwmon's watts, and watts made of two readings of an energy counter (RAPL, xe, i915)."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.host import Power
from domain.provenance import Certainty, Provenance
from probes import sysfs
from probes.sensors.hwmon import Chip

POWER = re.compile(r"power[0-9]+_(average|input)")
ENERGY = re.compile(r"energy[0-9]+_input")
ZONE = re.compile(r"intel-rapl:[0-9]+")  # AMD's, too; a second number is a part of a package
PACKAGE = re.compile(r"rapl/package-[0-9]+")

TOLD = Provenance("hwmon")
RAPL_TOLD = Provenance("rapl", Certainty.DERIVED, "two readings of energy_uj; where denied, it is root's")
ENERGY_TOLD = Provenance("hwmon", Certainty.DERIVED, "two readings of energy*_input")

# RAPL counts on every millisecond (Intel SDM vol. 3B, 15.10), so this is within a twentieth
LEAST_S = 0.02
MOST_S = 90.0  # readings further apart are no draw of now
MOST_W = 5000.0  # more is a counter that was set back


@dataclass(frozen=True, slots=True)
class Counter:
    """µJ at a moment (monotonic seconds). The counter starts anew after ``range_uj``, if that is known."""

    at_s: float
    energy_uj: int
    range_uj: int | None = None
    limit_w: float | None = None
    device: str | None = None


class Meter:
    """Remembers the counters of the last look, so that the next one need not wait for a difference."""

    def __init__(self) -> None:
        self._last: dict[str, Counter] = {}

    def probe(self, root: Path, chips: Sequence[Chip]) -> tuple[Power, ...]:
        """Waits 20 ms where there are counters and no look was shortly before."""
        now = counters(root, chips)
        before = {name: last for name in now if (last := self._last.get(name)) and _near(last, now[name])}
        if now.keys() - before.keys():
            time.sleep(LEAST_S)
            before, now = now, counters(root, chips)
        self._last = now
        return (*_watts(chips), *between(before, now))


def told(power: Power) -> Mapping[str, Provenance]:
    return {"power_w": _told(power)}


def _told(power: Power) -> Provenance:
    if power.sensor.startswith("rapl/"):
        return RAPL_TOLD
    return ENERGY_TOLD if "energy" in power.sensor.rpartition("/")[2] else TOLD


def of_packages(powers: Sequence[Power]) -> float | None:
    """The CPU packages together."""
    packages = [power.power_w for power in powers if PACKAGE.fullmatch(power.sensor)]
    return sum(packages) if packages else None


def of_device(powers: Sequence[Power], device: str) -> Power | None:
    """The first that the driver has of a device. Of xe's two counters the first is the card's, the other
    the chip's (Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon)."""
    return next((power for power in powers if power.device == device), None)


def counters(root: Path, chips: Sequence[Chip]) -> dict[str, Counter]:
    return {**dict(_rapl(root / "sys/class/powercap")), **dict(_energies(chips))}


def between(before: Mapping[str, Counter], now: Mapping[str, Counter]) -> Iterator[Power]:
    for name, later in now.items():
        earlier = before.get(name)
        if earlier is None:
            continue
        used_uj, passed_s = later.energy_uj - earlier.energy_uj, later.at_s - earlier.at_s
        if used_uj < 0 and later.range_uj is not None:
            used_uj += later.range_uj
        watts = used_uj / 1e6 / passed_s if passed_s > 0 else 0
        if 0 < watts <= MOST_W:  # a counter that stands still counts nothing (xe before Linux 6.17)
            yield Power(name, watts, later.limit_w, later.device)


def _near(last: Counter, now: Counter) -> bool:
    return LEAST_S <= now.at_s - last.at_s <= MOST_S


def _rapl(folder: Path) -> Iterator[tuple[str, Counter]]:
    for zone in sysfs.entries(folder):
        if not ZONE.fullmatch(zone):
            continue
        energy = sysfs.read_count(folder / zone / "energy_uj")
        if energy is not None:
            name = sysfs.read(folder / zone / "name") or zone
            limit = sysfs.read_count(folder / zone / "constraint_0_power_limit_uw")
            most = sysfs.read_count(folder / zone / "max_energy_range_uj")
            yield f"rapl/{name}", Counter(time.monotonic(), energy, most, limit / 1e6 if limit else None)


def _energies(chips: Sequence[Chip]) -> Iterator[tuple[str, Counter]]:
    for chip in chips:
        for channel in chip.channels(ENERGY):
            energy = chip.read(f"{channel}_input")
            if energy is not None and energy >= 0:
                name = f"{chip.driver}/{chip.device}/{channel}"
                yield name, Counter(time.monotonic(), energy, device=chip.owner)


def _watts(chips: Sequence[Chip]) -> Iterator[Power]:
    """RDNA cards may have only one of average and input; the average is what a power limit acts on."""
    for chip in chips:
        for channel in dict.fromkeys(chip.channels(POWER)):
            microwatts = chip.read(f"{channel}_average") or chip.read(f"{channel}_input")
            limit = chip.read(f"{channel}_cap")
            if microwatts and 0 < microwatts / 1e6 <= MOST_W:
                cap = limit / 1e6 if limit and limit > 0 else None
                yield Power(chip.sensor(channel), microwatts / 1e6, cap, chip.owner)
