"""What two samples tell: sensors, energy between them, tokens that were counted."""

import pytest

from daemon.events.gateway_state import TokenCount
from daemon.state.telemetry.buckets import Value
from daemon.telemetry.meter import Meter, Running
from domain.machine.hardware import Cpu, Gpu, Hardware, Memory, Thermal
from domain.machine.sample import Sample
from domain.telemetry import Metric
from domain.units import GIB

A, B = "pci:0000:01:00.0", "pci:0000:02:00.0"


def box(*gpus: Gpu, cpu_w: float | None = None) -> Hardware:
    memory = Memory(total_bytes=64 * GIB, available_bytes=40 * GIB)
    return Hardware(cpu=Cpu(power_w=cpu_w), memory=memory, gpus=gpus)


def card(gpu_id: str, watts: float | None, degrees: float | None = 50.0, **more: object) -> Gpu:
    return Gpu(gpu_id, "nvidia", "RTX 3090", temperature_c=degrees, power_w=watts, **more)  # type: ignore[arg-type]


def at(monotonic_s: float, machine: Hardware) -> Sample:
    return Sample(1.8e9 + monotonic_s, monotonic_s, machine)


def found(values: list[Value], metric: Metric) -> dict[str, float]:
    return {one.subject: one.value for one in values if one.metric is metric}


def alone(name: str, *devices: str) -> Running:
    return Running(name, frozenset(devices))


def test_sensors_and_memory_are_told_as_far_as_they_are_known() -> None:
    seen = box(
        card(A, 210.0, memory_total_bytes=24 * GIB, memory_free_bytes=6 * GIB),
        card(B, None, None, memory_total_bytes=24 * GIB, asleep=True),
        cpu_w=35.0,
    )
    values = Meter(120).read(at(0, seen), (), {})
    assert found(values, Metric.TEMPERATURE) == {A: 50.0}
    assert found(values, Metric.POWER) == {"host": 35.0, A: 210.0}
    assert found(values, Metric.MEMORY) == {"host": 24 * GIB, A: 18 * GIB}
    assert found(values, Metric.ENERGY) == {}, "nothing is known of before the first sample"


def test_the_hottest_sensor_of_a_device_counts() -> None:
    thermals = (
        Thermal("coretemp/Core 0", 61.0),
        Thermal("coretemp/Core 1", 72.0),
        Thermal("amdgpu/junction", 88.0, device=A),
        Thermal("amdgpu/edge", 70.0, device=A),
    )
    machine = Hardware(cpu=Cpu(temperature_c=61.0), gpus=(card(A, None, 70.0),), thermals=thermals)
    assert found(Meter(120).read(at(0, machine), (), {}), Metric.TEMPERATURE) == {"host": 72.0, A: 88.0}


def test_energy_is_the_mean_power_of_two_samples_for_the_time_between_them() -> None:
    meter = Meter(120)
    meter.read(at(0, box(card(A, 100.0))), (), {})
    values = meter.read(at(36, box(card(A, 300.0))), (), {})
    assert found(values, Metric.ENERGY) == {A: pytest.approx(2.0)}


@pytest.mark.parametrize(
    ("then_w", "now_w", "passed_s"),
    [
        pytest.param(100.0, 100.0, 121, id="a sample is missing between them"),
        pytest.param(None, 100.0, 60, id="it slept before"),
        pytest.param(100.0, None, 60, id="it fell asleep"),
    ],
)
def test_energy_that_is_not_known_is_none(then_w: float | None, now_w: float | None, passed_s: float) -> None:
    meter = Meter(120)
    meter.read(at(0, box(card(A, then_w))), (), {})
    assert found(meter.read(at(passed_s, box(card(A, now_w))), (), {}), Metric.ENERGY) == {}


@pytest.mark.parametrize(
    ("running", "launches"),
    [
        pytest.param([alone("a", A), alone("b", B)], {"launch:a": 1.0, "launch:b": 2.0}, id="each its own"),
        pytest.param([alone("a", A, B)], {"launch:a": 3.0}, id="one over two"),
        pytest.param([alone("a", A), alone("b", A)], {}, id="two share a device"),
        pytest.param([alone("a", A, B), alone("b", B)], {}, id="two share one of them"),
        pytest.param([alone("a", A), alone("b")], {}, id="who knows where b is"),
        pytest.param([alone("a", "cpu")], {}, id="the CPU tells no power"),
        pytest.param([alone("a", A), alone("c", "cpu")], {"launch:a": 1.0}, id="beside one on the CPU"),
    ],
)
def test_a_launch_has_the_energy_of_devices_that_it_has_alone(
    running: list[Running], launches: dict[str, float]
) -> None:
    meter, machine = Meter(120), box(card(A, 100.0), card(B, 200.0))
    meter.read(at(0, machine), running, {})
    energy = found(meter.read(at(36, machine), running, {}), Metric.ENERGY)
    assert {name: wh for name, wh in energy.items() if name.startswith("launch:")} == launches
    assert energy[A] == 1.0


def test_a_launch_that_came_between_two_samples_has_none_yet() -> None:
    meter, machine = Meter(120), box(card(A, 100.0))
    meter.read(at(0, machine), [], {})
    assert found(meter.read(at(36, machine), [alone("a", A)], {}), Metric.ENERGY) == {A: 1.0}


def test_tokens_are_those_since_the_sample_before() -> None:
    meter, counts = Meter(120), {"smol": TokenCount(100, 50, 1)}
    meter.read(at(0, box()), [], counts)
    counts["smol"].add(20, 7)
    counts["smol"].add(None, None)
    values = meter.read(at(5, box()), [alone("smol", A), alone("idle", B)], counts)
    assert found(values, Metric.PROMPT_TOKENS) == {"launch:smol": 20, "launch:idle": 0}
    assert found(values, Metric.GENERATED_TOKENS) == {"launch:smol": 7, "launch:idle": 0}
    assert found(values, Metric.UNKNOWN_ANSWERS) == {"launch:smol": 1, "launch:idle": 0}
    assert found(meter.read(at(10, box()), [], counts), Metric.PROMPT_TOKENS) == {}, "it has ended"


def test_an_answer_that_tells_one_of_both_is_not_unknown() -> None:
    counted = TokenCount()
    counted.add(12, None)
    assert counted == TokenCount(12, 0, 0)


def test_a_power_below_a_watt_counts_and_one_below_zero_is_none() -> None:
    machine = box(card(A, 0.4), card(B, -1.0), cpu_w=0.0)
    assert found(Meter(120).read(at(0, machine), (), {}), Metric.POWER) == {"host": 0.0, A: 0.4}


def test_memory_in_use_is_never_below_zero() -> None:
    odd = card(A, None, memory_total_bytes=GIB, memory_free_bytes=2 * GIB)
    none = card(B, None, memory_total_bytes=0, memory_free_bytes=0)
    values = Meter(120).read(at(0, box(odd, none)), (), {})
    assert found(values, Metric.MEMORY) == {"host": 24 * GIB, A: 0}


@pytest.mark.parametrize(
    ("passed_s", "elapsed_s"),
    [
        pytest.param(5, 5, id="usual"),
        pytest.param(120, 120, id="just no gap"),
        pytest.param(121, 1, id="a gap: nobody knows how long it was so"),
        pytest.param(-3, 1, id="a clock that goes back"),
        pytest.param(0, 1, id="none"),
    ],
)
def test_a_value_holds_since_the_sample_before(passed_s: float, elapsed_s: float) -> None:
    meter, machine = Meter(120), box(card(A, 100.0))
    (first, *_) = meter.read(at(1000, machine), (), {})
    assert first.elapsed_s == 1
    values = meter.read(at(1000 + passed_s, machine), (), {})
    assert {one.elapsed_s for one in values} == {elapsed_s}
