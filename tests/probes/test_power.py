"""Watts of drivers and of energy counters, fans, and which sensor is the CPU's."""

import pytest

from domain.machine.hardware import Thermal
from domain.machine.host import Fan, Power
from domain.machine.provenance import Certainty
from probes.sensors import fans, hwmon, power, temperatures
from probes.sensors.power import Counter, Meter
from tests.probes.conftest import unprivileged
from tests.rigs.trees import plant

ZONE = "sys/class/powercap/intel-rapl:0"


def rapl(energy_uj: int, zone: str = ZONE, name: str = "package-0") -> dict[str, str]:
    return {
        f"{zone}/name": name,
        f"{zone}/energy_uj": str(energy_uj),
        f"{zone}/max_energy_range_uj": "262143328850",
        f"{zone}/constraint_0_power_limit_uw": "65000000",
    }


def test_a_package_draws_the_difference_of_two_looks(tmp_path, monkeypatch):
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(power.time, "monotonic", lambda: next(clock))
    before = power.read_counters(plant(tmp_path, rapl(1_000_000)), ())
    now = power.read_counters(plant(tmp_path, rapl(451_000_000)), ())
    assert list(power.average_power(before, now)) == [Power("rapl/package-0", 45.0, 65.0)]


def test_the_first_look_waits_for_a_difference_and_the_next_one_does_not(tmp_path, monkeypatch):
    waited = []

    def later(seconds: float) -> None:
        waited.append(seconds)
        plant(tmp_path, rapl(2_000_000))

    monkeypatch.setattr(power.time, "sleep", later)
    moments = iter([0.0, 0.5, 60.5])
    monkeypatch.setattr(power.time, "monotonic", lambda: next(moments))
    meter = Meter()
    assert meter.probe(plant(tmp_path, rapl(1_000_000)), ()) == (Power("rapl/package-0", 2.0, 65.0),)
    plant(tmp_path, rapl(602_000_000))
    assert meter.probe(tmp_path, ()) == (Power("rapl/package-0", 10.0, 65.0),)
    assert waited == [power.MIN_INTERVAL_S]


@pytest.mark.parametrize(
    ("earlier", "later", "watts"),
    [
        pytest.param(Counter(0, 900, 1000), Counter(1, 100, 1000), 200e-6, id="it began anew"),
        pytest.param(Counter(0, 900), Counter(1, 100), None, id="it began anew, nobody knows at what"),
        pytest.param(Counter(0, 900), Counter(1, 900), None, id="it stands still"),
        pytest.param(Counter(0, 0), Counter(1, 10**12), None, id="more than any device draws"),
        pytest.param(Counter(1, 0), Counter(1, 100), None, id="no time has passed"),
    ],
)
def test_counters(earlier, later, watts):
    result = list(power.average_power({"x": earlier}, {"x": later}))
    assert [reading.power_w for reading in result] == ([] if watts is None else [pytest.approx(watts)])


def test_energy_that_is_roots_alone_is_unknown_not_zero(tmp_path):
    plant(tmp_path, rapl(1_000_000))
    (tmp_path / ZONE / "energy_uj").chmod(0)
    assert unprivileged(lambda: Meter().probe(tmp_path, ())) == ()
    assert power.package_power_w(()) is None


def test_parts_of_a_package_are_in_it_and_not_counted_again(tmp_path):
    plant(
        tmp_path, rapl(1) | rapl(1, f"{ZONE}:0", "core") | rapl(1, "sys/class/powercap/intel-rapl:1", "psys")
    )
    assert sorted(power.read_counters(tmp_path, ())) == ["rapl/package-0", "rapl/psys"]
    draws = (Power("rapl/package-0", 40), Power("rapl/package-1", 50), Power("rapl/psys", 120))
    assert power.package_power_w(draws) == 90


def test_a_card_tells_its_watts_its_cap_and_its_fan(machine):
    root, card = machine("rx-7900-xtx"), "pci:0000:03:00.0"
    chip = "sys/class/hwmon/hwmon8"
    plant(root, {f"{chip}/power1_label": "PPT", f"{chip}/power1_cap": "327000000", f"{chip}/fan1_input": "0"})
    chips = hwmon.probe(root)
    assert Meter().probe(root, chips) == (Power("amdgpu/0000:03:00.0/PPT", 68, 327, card),)
    assert fans.probe(chips) == (Fan("amdgpu/0000:03:00.0/fan1", 0, card),)


def test_a_sleeping_device_is_not_asked(tmp_path):
    """The chip of a drive hangs on its nvme device, which hangs on the PCI device that sleeps."""
    plant(tmp_path, {"sys/devices/p/power_state": "D3cold", "sys/devices/p/nvme/nvme0/x": ""})
    links = {
        "sys/devices/p/nvme/nvme0/device": "../..",
        "sys/class/hwmon/hwmon0/device": "../../../devices/p/nvme/nvme0",
    }
    plant(tmp_path, {"sys/class/hwmon/hwmon0/temp1_input": "40000"}, links)
    assert hwmon.probe(tmp_path) == ()
    plant(tmp_path, {"sys/devices/p/power_state": "D0"})
    assert [chip.device for chip in hwmon.probe(tmp_path)] == ["nvme0"]


def test_watts_of_an_intel_card_come_from_its_counter(tmp_path, monkeypatch):
    chip = "sys/class/hwmon/hwmon0"
    plant(tmp_path, {f"{chip}/name": "xe", f"{chip}/energy1_input": "5000000"})
    later = {f"{chip}/energy1_input": "5600000"}
    monkeypatch.setattr(power.time, "sleep", lambda _: plant(tmp_path, later))
    moments = iter([0.0, 0.02])
    monkeypatch.setattr(power.time, "monotonic", lambda: next(moments))
    [draw] = Meter().probe(tmp_path, hwmon.probe(tmp_path))
    assert (draw.sensor, draw.power_w) == ("xe/hwmon0/energy1", pytest.approx(30))
    assert power.sources_of(draw)["power_w"].certainty is Certainty.DERIVED


@pytest.mark.parametrize(
    ("reading", "rpm"), [("0", 0), ("1200", 1200), ("65535", None), ("-1", None), ("N/A", None)]
)
def test_a_fan_that_stands_still_is_a_reading_and_a_missing_one_is_none(tmp_path, reading, rpm):
    folder = "sys/class/hwmon/hwmon0"
    chips = hwmon.probe(plant(tmp_path, {f"{folder}/name": "nct6775", f"{folder}/fan1_input": reading}))
    assert [fan.rpm for fan in fans.probe(chips)] == ([] if rpm is None else [rpm])


@pytest.mark.parametrize(
    ("sensors", "temperature_c", "certainty"),
    [
        pytest.param(
            {"coretemp/coretemp.0/Core 0": 70, "coretemp/coretemp.0/Package id 0": 60,
             "coretemp/coretemp.1/Package id 1": 65}, 65, Certainty.READ, id="the hotter of two packages",
        ),
        pytest.param(
            {"k10temp/0000:00:18.3/Tctl": 80, "k10temp/0000:00:18.3/Tdie": 70}, 70, Certainty.READ,
            id="Tdie before Tctl, which may have an offset",
        ),
        pytest.param(
            {"amdgpu/0000:c3:00.0/edge": 50, "zenpower/0000:00:18.3/Tctl": 60}, 60, Certainty.READ,
            id="k10temp absent, zenpower in its place",
        ),
        pytest.param(
            {"nvme/nvme0/Composite": 40, "thermal/thermal_zone0/cpu-thermal": 55}, 55, Certainty.READ,
            id="Jetson: a zone",
        ),
        pytest.param({"acpitz/hwmon0/temp1": 28}, 28, Certainty.ASSUMED, id="GB10: an ACPI zone"),
        pytest.param({"nvme/nvme0/Composite": 40, "amdgpu/x/edge": 50}, None, None, id="none of the CPU"),
    ],
)  # fmt: skip
def test_the_cpu_is_as_hot_as_its_best_sensor_says(sensors, temperature_c, certainty):
    result, provenance = temperatures.cpu_temperature(
        [Thermal(name, value) for name, value in sensors.items()]
    )
    assert result == temperature_c
    assert certainty is None or provenance.certainty is certainty
