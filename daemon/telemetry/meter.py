"""From samples to values: sensors, energy between two samples, tokens that were counted since. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from daemon.events.gateway_state import TokenCount
from daemon.guards import heat_limits
from daemon.state.telemetry.buckets import Value
from domain.launches.plan import HOST
from domain.machine.hardware import Hardware
from domain.machine.sample import Sample
from domain.telemetry import Metric

LAUNCH = "launch:"
FIRST_S = 1.0  # a sample without one before says nothing of longer


@dataclass(frozen=True, slots=True)
class Running:
    """A launch with an engine, and the ids of the devices that compute for it; () where they are not
    known."""

    name: str
    devices: frozenset[str]


class Meter:
    """Samples that are more than ``gap_s`` apart have nothing between them: no energy, and no time."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._before: Sample | None = None
        self._alone: Mapping[str, frozenset[str]] = {}
        self._counted: Mapping[str, TokenCount] = {}

    def read(
        self, sample: Sample, running: Sequence[Running], counted: Mapping[str, TokenCount]
    ) -> list[Value]:
        """``counted`` is since the start of the daemon, by the name of a launch."""
        before = self._before
        passed_s = 0.0 if before is None else sample.monotonic_s - before.monotonic_s
        elapsed_s = passed_s if 0 < passed_s <= self._gap_s else FIRST_S
        values = [Value(*one, elapsed_s) for one in measured(sample.hardware)]
        alone = launches_alone(running)
        if before is not None and elapsed_s == passed_s:
            devices = energy_wh(before.hardware, sample.hardware, elapsed_s)
            steady = {name: devs for name, devs in alone.items() if self._alone.get(name) == devs}
            values += (Value(Metric.ENERGY, device, wh, elapsed_s) for device, wh in devices.items())
            values += (
                Value(Metric.ENERGY, launch_subject(name), wh, elapsed_s)
                for name, wh in of_launches(steady, devices).items()
            )
        values += self._tokens({one.name for one in running}, counted, elapsed_s)
        self._before, self._alone = sample, alone
        self._counted = {name: one.copy() for name, one in counted.items()}
        return values

    def _tokens(
        self, running: set[str], counted: Mapping[str, TokenCount], elapsed_s: float
    ) -> Iterator[Value]:
        """Of a launch that serves none is counted, too; of one without an engine only what there is."""
        for name in sorted(running | counted.keys()):
            more = counted.get(name, TokenCount()).since(self._counted.get(name, TokenCount()))
            if name in running or more != TokenCount():
                subject = launch_subject(name)
                yield Value(Metric.PROMPT_TOKENS, subject, more.prompt, elapsed_s)
                yield Value(Metric.GENERATED_TOKENS, subject, more.generated, elapsed_s)
                yield Value(Metric.UNKNOWN_ANSWERS, subject, more.unknown_answers, elapsed_s)


def measured(machine: Hardware) -> Iterator[tuple[Metric, str, float]]:
    """The hottest sensor, the power and the memory in use of each device, as far as they are known."""
    found: list[tuple[Metric, str, float | None]] = []
    heat = {} if machine.cpu.temperature_c is None else {HOST: machine.cpu.temperature_c}
    for device, reading in heat_limits.readings(machine):
        heat[_subject(device)] = reading.temperature_c
    found += ((Metric.TEMPERATURE, subject, value) for subject, value in heat.items())
    found += ((Metric.POWER, subject, value) for subject, value in powers(machine).items())
    memory = machine.memory
    found.append((Metric.MEMORY, HOST, _used(memory.total_bytes, memory.available_bytes)))
    found += (
        (Metric.MEMORY, gpu.id, _used(gpu.memory_total_bytes, gpu.memory_free_bytes)) for gpu in machine.gpus
    )
    return ((metric, subject, value) for metric, subject, value in found if value is not None)


def powers(machine: Hardware) -> dict[str, float]:
    """Watts. That of the host is the package of its CPU."""
    found = {HOST: machine.cpu.power_w} | {gpu.id: gpu.power_w for gpu in machine.gpus}
    return {subject: watts for subject, watts in found.items() if watts is not None and watts >= 0}


def energy_wh(before: Hardware, after: Hardware, elapsed_s: float) -> dict[str, float]:
    """Watt hours of devices whose power is known at both ends: the mean of the two, for ``elapsed_s``."""
    then, now = powers(before), powers(after)
    return {subject: (then[subject] + now[subject]) / 2 * elapsed_s / 3600 for subject in then.keys() & now}


def launches_alone(running: Sequence[Running]) -> dict[str, frozenset[str]]:
    """The devices of launches that share none of them; none where those of any launch are not known."""
    if not all(one.devices for one in running):
        return {}
    taken = [device for one in running for device in one.devices]
    return {
        one.name: frozenset(map(_subject, one.devices))
        for one in running
        if all(taken.count(device) == 1 for device in one.devices)
    }


def of_launches(alone: Mapping[str, frozenset[str]], devices_wh: Mapping[str, float]) -> dict[str, float]:
    """Watt hours of launches, where those of all their devices are known."""
    return {
        name: sum(devices_wh[device] for device in sorted(devices))
        for name, devices in alone.items()
        if devices <= devices_wh.keys()
    }


def launch_subject(name: str) -> str:
    """Apart from a device that has the same name: a launch may be called ``host``."""
    return f"{LAUNCH}{name}"


def _subject(device: str) -> str:
    return HOST if device == heat_limits.CPU else device


def _used(total_bytes: int | None, free_bytes: int | None) -> int | None:
    if not total_bytes or free_bytes is None:
        return None
    return max(0, total_bytes - free_bytes)
