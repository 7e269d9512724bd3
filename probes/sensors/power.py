"""Power of devices: hwmon's watts, and watts from two readings of an energy counter (RAPL, xe, i915)."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.machine.host import Power
from domain.machine.provenance import Certainty, Provenance
from probes import sysfs
from probes.sensors.hwmon import Chip

POWER = re.compile(r"power[0-9]+_(average|input)")
ENERGY = re.compile(r"energy[0-9]+_input")
ZONE = re.compile(r"intel-rapl:[0-9]+")  # also AMD's; with a second number it is a part of a package
PACKAGE = re.compile(r"rapl/package-[0-9]+")

SOURCE = Provenance("hwmon")
RAPL_SOURCE = Provenance(
    "rapl", Certainty.DERIVED, "two readings of energy_uj, which only root may read on most systems"
)
ENERGY_SOURCE = Provenance("hwmon", Certainty.DERIVED, "two readings of energy*_input")

# RAPL updates its counter every millisecond (Intel SDM vol. 3B, 15.10), so 20 ms are exact to 5 %
MIN_INTERVAL_S = 0.02
MAX_INTERVAL_S = 90.0  # an average over more is not the present power
MAX_POWER_W = 5000.0  # more means that the counter was reset


@dataclass(frozen=True, slots=True)
class Counter:
    """µJ at a time (monotonic seconds). The counter wraps around at ``range_uj``, if that is known."""

    at_s: float
    energy_uj: int
    range_uj: int | None = None
    limit_w: float | None = None
    device: str | None = None


class Meter:
    """Keeps the counters of the last snapshot, so that the next one need not wait between two readings."""

    def __init__(self) -> None:
        self._last: dict[str, Counter] = {}

    def probe(self, root: Path, chips: Sequence[Chip]) -> tuple[Power, ...]:
        """Waits 20 ms if there are counters without a recent reading."""
        now = read_counters(root, chips)
        before = {
            name: last for name in now if (last := self._last.get(name)) and _is_recent(last, now[name])
        }
        if now.keys() - before.keys():
            time.sleep(MIN_INTERVAL_S)
            before, now = now, read_counters(root, chips)
        self._last = now
        return (*_hwmon_power(chips), *average_power(before, now))


def sources_of(power: Power) -> Mapping[str, Provenance]:
    return {"power_w": _source_of(power)}


def _source_of(power: Power) -> Provenance:
    if power.sensor.startswith("rapl/"):
        return RAPL_SOURCE
    return ENERGY_SOURCE if "energy" in power.sensor.rpartition("/")[2] else SOURCE


def package_power_w(powers: Sequence[Power]) -> float | None:
    """All CPU packages together."""
    packages = [power.power_w for power in powers if PACKAGE.fullmatch(power.sensor)]
    return sum(packages) if packages else None


def device_power(powers: Sequence[Power], device: str) -> Power | None:
    """The first reading of a device. Of xe's two counters the first is the card's and the second the chip's
    (Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon)."""
    return next((power for power in powers if power.device == device), None)


def read_counters(root: Path, chips: Sequence[Chip]) -> dict[str, Counter]:
    return {**dict(_rapl_counters(root / "sys/class/powercap")), **dict(_hwmon_counters(chips))}


def average_power(before: Mapping[str, Counter], now: Mapping[str, Counter]) -> Iterator[Power]:
    for name, later in now.items():
        earlier = before.get(name)
        if earlier is None:
            continue
        used_uj, passed_s = later.energy_uj - earlier.energy_uj, later.at_s - earlier.at_s
        if used_uj < 0 and later.range_uj is not None:
            used_uj += later.range_uj
        watts = used_uj / 1e6 / passed_s if passed_s > 0 else 0
        if 0 < watts <= MAX_POWER_W:  # xe's counter of the card stays at 0 before Linux 6.17
            yield Power(name, watts, later.limit_w, later.device)


def _is_recent(last: Counter, now: Counter) -> bool:
    return MIN_INTERVAL_S <= now.at_s - last.at_s <= MAX_INTERVAL_S


def _rapl_counters(folder: Path) -> Iterator[tuple[str, Counter]]:
    for zone in sysfs.entries(folder):
        if not ZONE.fullmatch(zone):
            continue
        energy = sysfs.read_count(folder / zone / "energy_uj")
        if energy is not None:
            name = sysfs.read(folder / zone / "name") or zone
            limit = sysfs.read_count(folder / zone / "constraint_0_power_limit_uw")
            range_uj = sysfs.read_count(folder / zone / "max_energy_range_uj")
            yield f"rapl/{name}", Counter(time.monotonic(), energy, range_uj, limit / 1e6 if limit else None)


def _hwmon_counters(chips: Sequence[Chip]) -> Iterator[tuple[str, Counter]]:
    for chip in chips:
        for channel in chip.channels(ENERGY):
            energy = chip.read(f"{channel}_input")
            if energy is not None and energy >= 0:
                name = f"{chip.driver}/{chip.device}/{channel}"
                yield name, Counter(time.monotonic(), energy, device=chip.device_id)


def _hwmon_power(chips: Sequence[Chip]) -> Iterator[Power]:
    """RDNA cards may have only one of average and input; a power limit applies to the average."""
    for chip in chips:
        for channel in dict.fromkeys(chip.channels(POWER)):
            microwatts = chip.read(f"{channel}_average") or chip.read(f"{channel}_input")
            limit = chip.read(f"{channel}_cap")
            if microwatts and 0 < microwatts / 1e6 <= MAX_POWER_W:
                cap = limit / 1e6 if limit and limit > 0 else None
                yield Power(chip.sensor_name(channel), microwatts / 1e6, cap, chip.device_id)
