"""The sensors of an AMD card: temperature, power and its limits, fan, throttle reasons."""

from dataclasses import dataclass
from pathlib import Path

from probes import sysfs
from probes.gpus.pci import PciDevice
from probes.sensors import temperatures

# Offset of the 64-bit throttle status that means the same on every chip, by format and revision of
# gpu_metrics (amdgpu, kgd_pp_interface.h). Newer formats count residencies instead
THROTTLE_STATUS = {(1, 3): 112, (2, 2): 120, (2, 3): 120}

# Bits of that status (amdgpu_smu.h). Power and current limits (0 to 23) work as configured and are no faults
THROTTLE_BITS = {
    32: "temp_gpu",
    33: "temp_core",
    34: "temp_mem",
    35: "temp_edge",
    36: "temp_hotspot",
    37: "temp_soc",
    38: "temp_vr_gfx",
    39: "temp_vr_soc",
    40: "temp_vr_mem",
    41: "temp_vr_mem",
    42: "temp_liquid",
    43: "temp_liquid",
    44: "vr_hot",
    45: "vr_hot",
    46: "prochot_cpu",
    47: "prochot_gpu",
}
# Navi 31 and 48 have the hotspot's bit always set (github.com/ROCm/rocm-systems/issues/11781)
HOTSPOT, HOTSPOT_C = "temp_hotspot", 90


@dataclass(frozen=True, slots=True)
class SensorState:
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    power_default_w: float | None = None
    fan_rpm: int | None = None
    fan_percent: float | None = None
    throttled_by: tuple[str, ...] | None = None


def read(card: PciDevice) -> SensorState:
    """Only for a card that is awake: reading these files wakes it."""
    monitors = (card.path / "hwmon" / name for name in sysfs.entries(card.path / "hwmon"))
    folder = next(monitors, card.path / "hwmon")
    pwm, pwm_max = sysfs.read_count(folder / "pwm1"), sysfs.read_count(folder / "pwm1_max")
    # RDNA cards may have only one of the two; on an APU it is that of the whole package
    power_w = _watts(folder / "power1_average") or _watts(folder / "power1_input")
    return SensorState(
        temperature_c=_celsius(folder / "temp1_input"),
        power_w=power_w,
        power_limit_w=_watts(folder / "power1_cap") or None,
        power_default_w=_watts(folder / "power1_cap_default") or None,
        fan_rpm=sysfs.read_count(folder / "fan1_input"),
        fan_percent=100 * pwm / pwm_max if pwm is not None and pwm_max and pwm <= pwm_max else None,
        throttled_by=throttle_reasons(
            sysfs.read_bytes(card.path / "gpu_metrics"), junction_c=_celsius(folder / "temp2_input")
        ),
    )


def throttle_reasons(metrics: bytes | None, *, junction_c: float | None = None) -> tuple[str, ...] | None:
    """The limits that hold the clocks down, from ``gpu_metrics``; None for a format without them."""
    if not metrics or len(metrics) < 4:
        return None
    start = THROTTLE_STATUS.get((metrics[2], metrics[3]))
    if start is None or len(metrics) < start + 8:
        return None
    status = int.from_bytes(metrics[start : start + 8], "little")
    if status == 2**64 - 1:  # the driver's value for "unknown"
        return None
    is_cool = junction_c is None or junction_c < HOTSPOT_C
    names = dict.fromkeys(name for bit, name in THROTTLE_BITS.items() if status >> bit & 1)
    return tuple(name for name in names if not (name == HOTSPOT and is_cool))


def _watts(path: Path) -> float | None:
    microwatts = sysfs.read_count(path)
    return None if microwatts is None else microwatts / 1_000_000


def _celsius(path: Path) -> float | None:
    millidegrees = sysfs.read_int(path)
    return None if millidegrees is None else temperatures.plausible_c(millidegrees / 1000)
