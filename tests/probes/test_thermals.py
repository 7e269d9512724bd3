"""Sensors by device, without the numbers that drivers write for "none"."""

from pathlib import Path

import pytest

from domain.machine.hardware import Thermal
from probes.sensors import hwmon as chips
from probes.sensors import temperatures
from tests.rigs.trees import plant

CARD = "pci:0000:03:00.0"


def probe(root: Path) -> tuple[Thermal, ...]:
    return temperatures.probe(root, chips.probe(root)).thermals


def hwmon(number: int, driver: str, device: str | None, **readings: object) -> tuple[dict, dict]:
    folder = f"sys/class/hwmon/hwmon{number}"
    files = {f"{folder}/{name}": str(value) for name, value in {"name": driver, **readings}.items()}
    return files, {f"{folder}/device": f"../../../{device}"} if device else {}


def test_a_card_keeps_its_limits_and_loses_its_sentinels(machine):
    assert probe(machine("rx-7900-xtx")) == (
        Thermal("amdgpu/0000:03:00.0/edge", 53, None, 100, 105, CARD),
        Thermal("amdgpu/0000:03:00.0/junction", 61, None, 110, 115, CARD),
        Thermal("amdgpu/0000:03:00.0/mem", 68, None, 108, 113, CARD),
    )


@pytest.mark.parametrize("reading_c", [127, 127.5, 128, 125, -128, -62, 255])
def test_an_input_that_nothing_is_connected_to_is_dropped_and_that_is_told(tmp_path, see, reading_c):
    """Of boards' chips (nct6775, it87): full scale, or the least value."""
    readings = {"temp1_input": 41000, "temp2_input": round(reading_c * 1000), "temp2_crit": 100000}
    plant(tmp_path, *hwmon(0, "nct6798", "nct6775.656", **readings))
    hardware = see(tmp_path)
    assert [sensor.sensor for sensor in hardware.thermals] == ["nct6798/nct6775.656/temp1"]
    source = hardware.sources["thermals[nct6798/nct6775.656/temp2].temperature_c"]
    assert source.note == f"dropped: {reading_c:g} °C, which is no temperature of a chip"


def test_two_drives_of_one_driver_stay_two_sensors(tmp_path):
    for number, device in enumerate(("nvme0", "nvme1")):
        plant(
            tmp_path,
            *hwmon(number, "nvme", device, temp1_label="Composite", temp1_input=30000 + number * 1000),
        )
    assert [(sensor.sensor, sensor.temperature_c) for sensor in probe(tmp_path)] == [
        ("nvme/nvme0/Composite", 30),
        ("nvme/nvme1/Composite", 31),
    ]


def test_numbers_are_counted_not_spelled(tmp_path):
    plant(tmp_path, *hwmon(10, "late", "b", temp1_input=40000))
    plant(tmp_path, *hwmon(2, "early", "a", temp10_input=41000, temp2_input=42000))
    assert [sensor.sensor for sensor in probe(tmp_path)] == [
        "early/a/temp2",
        "early/a/temp10",
        "late/b/temp1",
    ]


@pytest.mark.parametrize(
    ("driver", "readings"),
    [
        pytest.param("zenpower", {"temp3_input": 149000}, id="Tccd of Strix Halo"),
        pytest.param("amdgpu", {"temp1_input": -273150}, id="absolute zero"),
        pytest.param("amdgpu", {"temp1_input": 0}, id="a sleeping sensor"),
        pytest.param("nvme", {"temp2_input": 65261850}, id="65261.85"),
        pytest.param("acpitz", {"temp1_input": "N/A"}, id="no number"),
    ],
)
def test_sentinels_are_no_readings(tmp_path, driver, readings):
    assert probe(plant(tmp_path, *hwmon(0, driver, "x", **readings))) == ()


def test_limits_that_are_sentinels_are_unknown(tmp_path):
    root = plant(
        tmp_path, *hwmon(0, "nvme", "nvme0", temp2_input=45000, temp2_max=65261850, temp2_crit=-273150)
    )
    assert probe(root) == (Thermal("nvme/nvme0/temp2", 45, device="nvme0"),)


def test_package_sensor_of_an_n100(machine):
    assert probe(machine("n100")) == (
        Thermal("coretemp/coretemp.0/Package id 0", 41, 105, 105, device="coretemp.0"),
    )


def test_zones_are_read_where_hwmon_lacks_them(tmp_path):
    """Jetson: the processor's temperatures are in thermal zones only, while hwmon has others."""
    plant(tmp_path, *hwmon(0, "nvme", "nvme0", temp1_input=40000))
    plant(tmp_path, *hwmon(1, "soc_thermal", None, temp1_input=41000))
    for number, (kind, reading) in enumerate(
        {"cpu-thermal": 50000, "soc-thermal": 41000, "cv0": -256000}.items()
    ):
        folder = f"sys/class/thermal/thermal_zone{number}"
        plant(tmp_path, {f"{folder}/type": kind, f"{folder}/temp": str(reading)})
    assert [sensor.sensor for sensor in probe(tmp_path)] == [
        "nvme/nvme0/temp1",
        "soc_thermal/hwmon1/temp1",
        "thermal/thermal_zone0/cpu-thermal",
    ]


def test_a_zone_of_the_package_is_read_where_coretemp_is_not(tmp_path):
    zone = "sys/class/thermal/thermal_zone0"
    plant(tmp_path, {f"{zone}/type": "x86_pkg_temp", f"{zone}/temp": "50000"})
    assert [sensor.sensor for sensor in probe(tmp_path)] == ["thermal/thermal_zone0/x86_pkg_temp"]
    plant(tmp_path, *hwmon(0, "coretemp", "coretemp.0", temp1_input=50000))
    assert [sensor.sensor for sensor in probe(tmp_path)] == ["coretemp/coretemp.0/temp1"]
