"""The temperature and the limits of each device that engines use, from a sample. Pure.

A limit is the device's own where it tells one. A CPU runs up to its limit by design and slows down there, so
that little is done for it before it is beyond.
"""

import re
from collections.abc import Iterator, Sequence

from daemon.guards.heat_policy import Level, Limits, Reading
from domain.machine.hardware import Gpu, Hardware, Thermal

CPU = "cpu"
CPU_SENSOR = re.compile(r"(coretemp|k10temp|zenpower|cpu_thermal)/")
# Where a device tells none: most NVIDIA cards slow down between 90 and 95; a Ryzen computes at up to 95, the
# "Max. Operating Temperature" of AMD's specifications
GPU_C, CPU_C = 93.0, 97.0
GPU_SOFT_C, CPU_SOFT_C = 7.0, 1.0  # below
CPU_BEYOND_C = 5.0
HEAT_WORDS = ("therm", "temp", "hot")  # in the reasons of NVML and amdgpu


def readings(
    machine: Hardware, *, soft_c: float | None = None, hard_c: float | None = None
) -> Iterator[tuple[str, Reading]]:
    """By the id of the device. ``soft_c`` and ``hard_c``: those of the settings, in place of its own."""
    for gpu in machine.gpus:
        if (found := _hottest(gpu.name, _of_gpu(gpu, machine.thermals), _is_throttled(gpu))) is not None:
            yield gpu.id, _with(found, soft_c, hard_c)
    sensors = [(one.temperature_c, _cpu_limits(one)) for one in _cpu_sensors(machine.thermals)]
    if (found := _hottest(machine.cpu.model or "the CPU", sensors, throttled=False)) is not None:
        yield CPU, _with(found, soft_c, hard_c)


def _of_gpu(gpu: Gpu, thermals: Sequence[Thermal]) -> list[tuple[float, Limits]]:
    """Its sensors; NVML's thresholds are ``high_c``, where it slows down, and ``critical_c``, where it shuts
    down."""
    found = []
    for sensor in thermals:
        if sensor.device == gpu.id:
            hard = sensor.high_c if gpu.vendor == "nvidia" else sensor.critical_c
            found.append((sensor.temperature_c, _gpu_limits(hard)))
    return found or ([] if gpu.temperature_c is None else [(gpu.temperature_c, _gpu_limits(None))])


def _cpu_sensors(thermals: Sequence[Thermal]) -> list[Thermal]:
    """Without Tctl, which has an offset on some parts, where there is Tdie."""
    found = [one for one in thermals if CPU_SENSOR.match(one.sensor)]
    true = [one for one in found if one.sensor.endswith("/Tdie")]
    return true or found


def _gpu_limits(hard_c: float | None) -> Limits:
    hard_c = hard_c or GPU_C
    return Limits(hard_c - GPU_SOFT_C, hard_c)


def _cpu_limits(sensor: Thermal) -> Limits:
    own_c = sensor.critical_c or CPU_C
    return Limits(own_c - CPU_SOFT_C, own_c + CPU_BEYOND_C, Level.PAUSE)


def _hottest(name: str, sensors: Sequence[tuple[float, Limits]], throttled: bool) -> Reading | None:
    """The one that is nearest to its limit."""
    if not sensors:
        return None
    temperature_c, limits = max(sensors, key=lambda one: one[0] - one[1].hard_c)
    return Reading(name, temperature_c, limits, throttled)


def _is_throttled(gpu: Gpu) -> bool:
    return any(word in reason for reason in gpu.throttled_by or () for word in HEAT_WORDS)


def _with(reading: Reading, soft_c: float | None, hard_c: float | None) -> Reading:
    own = reading.limits
    hard = own.hard_c if hard_c is None else hard_c
    soft = own.soft_c - own.hard_c + hard if soft_c is None else soft_c
    limits = Limits(min(soft, hard), hard, own.highest if soft_c is None else Level.UNLOAD)
    return Reading(reading.name, reading.temperature_c, limits, reading.throttled)
