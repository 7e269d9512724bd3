"""The machine without its accelerators: processor, RAM, sensors, disk, each source asked once."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from domain.hardware import Cpu, Memory, Problem, Storage, Thermal
from domain.host import Fan, Power
from domain.provenance import Provenance
from probes import storage
from probes.cpu import processor as cpu
from probes.isolate import Guard
from probes.memo import Memo
from probes.memory import cgroup
from probes.memory import ram as memory
from probes.memory.cgroup import Limits
from probes.memory.ram import Meminfo
from probes.result import Reading
from probes.sensors import fans, hwmon, power, temperatures
from probes.sensors.hwmon import Chip
from probes.sensors.power import Meter


@dataclass(frozen=True, slots=True)
class ProbeState:
    """What one look leaves for the next: facts that can't change, and readings of counters."""

    kept: Memo = field(default_factory=Memo)
    meter: Meter = field(default_factory=Meter)


@dataclass(frozen=True, slots=True)
class Host:
    meminfo: Meminfo
    processor: Reading[Cpu]
    ram: Reading[Memory]
    disk: Reading[Storage]
    thermals: tuple[Thermal, ...] = ()
    fans: tuple[Fan, ...] = ()
    power: tuple[Power, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        return (*self.processor.problems, *self.ram.problems, *self.disk.problems)

    def of_sensors(self) -> dict[str, Provenance]:
        """Who told them, by the full name of each reading."""
        return dict(self._of_sensors())

    def _of_sensors(self) -> Iterator[tuple[str, Provenance]]:
        yield from (
            (f"thermals[{one.sensor}].temperature_c", temperatures.told(one)) for one in self.thermals
        )
        yield from ((f"fans[{one.sensor}].rpm", fans.TOLD) for one in self.fans)
        yield from ((f"power[{one.sensor}].power_w", power.told(one)) for one in self.power)


def probe(root: Path, models_dir: Path, before: ProbeState, ask: Guard) -> Host:
    limits = ask("cgroup", lambda: cgroup.probe(root), Limits())
    meminfo = ask("memory", lambda: memory.read_meminfo(root), Meminfo())
    chips: tuple[Chip, ...] = ask("hwmon", lambda: hwmon.probe(root), ())
    sensors: tuple[Thermal, ...] = ask("thermals", lambda: temperatures.probe(root, chips), ())
    draws: tuple[Power, ...] = ask("power", lambda: before.meter.probe(root, chips), ())
    processor = ask("cpu", lambda: cpu.probe(root, limits, before.kept), Reading(Cpu()))
    return Host(
        meminfo=meminfo,
        processor=_with_sensors(processor, sensors, draws),
        ram=ask("memory", lambda: memory.probe(root, meminfo, limits, before.kept), Reading(Memory())),
        disk=ask(
            "storage",
            lambda: storage.probe(root, models_dir, before.kept),
            Reading(Storage(str(models_dir))),
        ),
        thermals=sensors,
        fans=ask("fans", lambda: fans.probe(chips), ()),
        power=draws,
    )


def _with_sensors(
    processor: Reading[Cpu], sensors: tuple[Thermal, ...], draws: tuple[Power, ...]
) -> Reading[Cpu]:
    temperature_c, told = temperatures.of_cpu(sensors)
    value = replace(processor.value, temperature_c=temperature_c, power_w=power.of_packages(draws))
    return replace(
        processor, value=value, told={**processor.told, "temperature_c": told, "power_w": power.RAPL_TOLD}
    )
