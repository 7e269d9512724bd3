"""Thermal paste weather: is something hot that idles, near its limit, or slowed down for heat?"""

from daemon.doctor.checks.finding import Finding, Verdict, error, not_known, warning
from daemon.doctor.checks.input import DoctorInput
from domain.hardware import Gpu, Hardware, Thermal

# Rules of thumb, of no other source: a sound cooler keeps an idle chip below 60 °C in a warm room
IDLE_SHARE = 0.2  # of the power limit
HOT_IDLE_C = 65
IDLE_LOAD_SHARE = 0.1  # runnable processes per CPU
NEAR_C = 5  # below what the maker calls critical
CPU_SENSORS = ("coretemp/", "k10temp/", "zenpower/")
CLEAN = "clean fans and filters and see that they turn; paste older than some years dries out: renew it"


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    box = facts.hardware
    found = [
        *(finding for gpu in box.gpus for finding in _slowed(gpu)),
        *(finding for sensor in box.thermals for finding in _near_its_limit(sensor)),
        *(finding for gpu in box.gpus for finding in _hot_while_idle(gpu)),
        *_cpu(facts),
    ]
    if found:
        return tuple(found)
    hottest = max(box.thermals, key=lambda sensor: sensor.temperature_c, default=None)
    if hottest is None:
        return not_known("no sensor is readable here")
    return (Finding(Verdict.OK, f"{hottest.temperature_c:.0f} °C at most ({hottest.sensor})"),)


def _slowed(gpu: Gpu) -> tuple[Finding, ...]:
    if not gpu.throttled_by:
        return ()
    starved = all("power" in reason for reason in gpu.throttled_by)
    cooler = f"{CLEAN}; a lower power limit costs little decode speed"
    return (
        warning(
            f"{gpu.name} at {gpu.id} is slowed down now: {', '.join(gpu.throttled_by)}",
            why="it answers slower than it could",
            fix="look at power supply and cables: the board asks the GPU for less" if starved else cooler,
        ),
    )


def _near_its_limit(sensor: Thermal) -> tuple[Finding, ...]:
    limit_c = sensor.critical_c
    if limit_c is None or sensor.temperature_c < limit_c - NEAR_C:
        return ()
    found = f"{sensor.sensor} has {sensor.temperature_c:.0f} °C, critical is {limit_c:.0f} °C"
    if sensor.sensor.startswith(CPU_SENSORS):  # which work up to their limit, and slow down there by design
        return (warning(found, why="the CPU slows down at that temperature", fix=CLEAN),)
    why = "the device slows down, then turns itself off"
    return (error(found, why=why, fix=f"node-ctl stop what runs on it; {CLEAN}"),)


def _hot_while_idle(gpu: Gpu) -> tuple[Finding, ...]:
    limit_w = gpu.power_limit_w or gpu.power_default_w
    if gpu.temperature_c is None or gpu.power_w is None or limit_w is None:
        return ()
    if gpu.temperature_c < HOT_IDLE_C or gpu.power_w > IDLE_SHARE * limit_w:
        return ()
    return (
        warning(
            f"{gpu.name} at {gpu.id} has {gpu.temperature_c:.0f} °C at {gpu.power_w:.0f} W",
            why="what is hot while it idles is slowed down under load",
            fix=f"wait ten minutes if it just worked; else {CLEAN}",
        ),
    )


def _cpu(facts: DoctorInput) -> tuple[Finding, ...]:
    cpus, load = facts.hardware.cpu.logical_cpus, facts.system.load
    hottest = _cpu_temperature(facts.hardware)
    if cpus is None or load is None or hottest is None or load > IDLE_LOAD_SHARE * cpus:
        return ()
    if hottest.temperature_c < HOT_IDLE_C:
        return ()
    return (
        warning(
            f"the CPU has {hottest.temperature_c:.0f} °C and little to do ({hottest.sensor})",
            why="what is hot while it idles is slowed down under load",
            fix=f"wait ten minutes if it just worked; else {CLEAN}",
        ),
    )


def _cpu_temperature(box: Hardware) -> Thermal | None:
    sensors = [one for one in box.thermals if one.sensor.startswith(CPU_SENSORS)]
    return max(sensors, key=lambda sensor: sensor.temperature_c, default=None)
