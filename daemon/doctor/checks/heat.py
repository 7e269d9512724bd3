"""Is something hot while idle, near its limit, or throttled for heat?"""

from collections.abc import Sequence

from daemon.doctor.checks.finding import Finding, Verdict, error, not_known, warning
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import Gpu, Hardware, Thermal

# Rules of thumb without another source: a working cooler keeps an idle chip below 60 °C in a warm room
IDLE_POWER_SHARE = 0.2  # of the power limit
HOT_IDLE_C = 65
IDLE_LOAD_SHARE = 0.1  # runnable processes per CPU
NEAR_C = 5  # below the vendor's critical temperature
CPU_SENSORS = ("coretemp/", "k10temp/", "zenpower/")
# Drivers whose sensors are part of the device itself: Documentation/hwmon of Linux
IN_DEVICES = (
    *CPU_SENSORS,
    *(
        "amdgpu/",
        "xe/",
        "i915/",
        "nvidia/",
        "nouveau/",
        "nvme/",
        "drivetemp/",
        "cpu_thermal/",
        "jc42/",
        "spd5118/",
    ),
)
NEIGHBOUR_C = 30  # a room's air and a hot voltage regulator are further apart
CLEAN = "clean fans and filters and check that the fans turn; replace thermal paste that is some years old"
HOT_WHILE_IDLE = "a device that is hot while idle is throttled under load"
WAIT_OR_CLEAN = f"wait ten minutes if it was just in use; otherwise {CLEAN}"


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    hardware = inputs.hardware
    findings = [
        *(finding for gpu in hardware.gpus for finding in _throttled(gpu)),
        *(
            finding
            for sensor in hardware.thermals
            if _is_believed(sensor, hardware.thermals)
            for finding in _near_limit(sensor)
        ),
        *(finding for gpu in hardware.gpus for finding in _hot_while_idle(gpu)),
        *_cpu_hot_while_idle(inputs),
    ]
    if findings:
        return tuple(findings)
    hottest = max(hardware.thermals, key=lambda sensor: sensor.temperature_c, default=None)
    if hottest is None:
        return not_known("how hot anything is: no sensor can be read")
    return (Finding(Verdict.OK, f"{hottest.temperature_c:.0f} °C at most ({hottest.sensor})"),)


def _throttled(gpu: Gpu) -> tuple[Finding, ...]:
    if not gpu.throttled_by:
        return ()
    by_power = all("power" in reason for reason in gpu.throttled_by)
    power_fix = "check power supply and cables: the board limits the power of the GPU"
    heat_fix = f"{CLEAN}; a lower power limit costs little decode speed"
    return (
        warning(
            f"{gpu.name} at {gpu.id} is throttled now: {', '.join(gpu.throttled_by)}",
            why="it is slower than it could be",
            fix=power_fix if by_power else heat_fix,
        ),
    )


def _is_believed(sensor: Thermal, sensors: Sequence[Thermal]) -> bool:
    """Inputs of a board's chip may be connected to nothing, and then show any constant: such a one counts
    only with another sensor that is about as hot. Sensors inside a device are always connected."""
    if sensor.sensor.startswith(IN_DEVICES):
        return True
    others = (other.temperature_c for other in sensors if other.sensor != sensor.sensor)
    return any(other_c >= sensor.temperature_c - NEIGHBOUR_C for other_c in others)


def _near_limit(sensor: Thermal) -> tuple[Finding, ...]:
    limit_c = sensor.critical_c
    if limit_c is None or sensor.temperature_c < limit_c - NEAR_C:
        return ()
    found = f"{sensor.sensor} is at {sensor.temperature_c:.0f} °C, critical is {limit_c:.0f} °C"
    if sensor.sensor.startswith(CPU_SENSORS):  # a CPU runs up to its limit and throttles there by design
        return (warning(found, why="the CPU throttles at that temperature", fix=CLEAN),)
    why = "the device throttles, then shuts down"
    return (error(found, why=why, fix=f"stop the models on it (node-ctl stop); {CLEAN}"),)


def _hot_while_idle(gpu: Gpu) -> tuple[Finding, ...]:
    limit_w = gpu.power_limit_w or gpu.power_default_w
    if gpu.temperature_c is None or gpu.power_w is None or limit_w is None:
        return ()
    if gpu.temperature_c < HOT_IDLE_C or gpu.power_w > IDLE_POWER_SHARE * limit_w:
        return ()
    found = f"{gpu.name} at {gpu.id} is at {gpu.temperature_c:.0f} °C while idle ({gpu.power_w:.0f} W)"
    return (warning(found, why=HOT_WHILE_IDLE, fix=WAIT_OR_CLEAN),)


def _cpu_hot_while_idle(inputs: DoctorInput) -> tuple[Finding, ...]:
    cpus, load = inputs.hardware.cpu.logical_cpus, inputs.system.load
    hottest = _hottest_cpu_sensor(inputs.hardware)
    if cpus is None or load is None or hottest is None or load > IDLE_LOAD_SHARE * cpus:
        return ()
    if hottest.temperature_c < HOT_IDLE_C:
        return ()
    found = f"the CPU is at {hottest.temperature_c:.0f} °C while idle ({hottest.sensor})"
    return (warning(found, why=HOT_WHILE_IDLE, fix=WAIT_OR_CLEAN),)


def _hottest_cpu_sensor(hardware: Hardware) -> Thermal | None:
    sensors = [sensor for sensor in hardware.thermals if sensor.sensor.startswith(CPU_SENSORS)]
    return max(sensors, key=lambda sensor: sensor.temperature_c, default=None)
