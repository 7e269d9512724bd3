"""How far hot devices are relieved, to the second and the degree; and which limits they have."""

import pytest

from daemon.guards import heat_limits
from daemon.guards.heat_cost import Cost, generated
from daemon.guards.heat_policy import (
    BACK_C,
    HARD_S,
    LOWER_S,
    RAISE_S,
    Heat,
    Level,
    Limits,
    Reading,
    after_reading,
    parallel,
)
from domain.machine.hardware import Cpu, Gpu, Hardware, Thermal

LIMITS = Limits(85.0, 95.0)
NONE, PARALLEL, PAUSE, UNLOAD, STOP = Level


def levels(*readings: tuple[float, float], limits: Limits = LIMITS, throttled: bool = False) -> list[Level]:
    """Of readings (at_s, °C), one after the other."""
    heat, found = Heat(), []
    for at_s, degrees in readings:
        heat = after_reading(heat, Reading("X", degrees, limits, throttled), at_s)
        found.append(heat.level)
    return found


def test_a_device_below_its_limit_is_left_alone() -> None:
    assert levels((0, 60), (1000, 84.9), (2000, 84.9)) == [NONE] * 3


def test_each_while_above_the_soft_limit_is_a_level_more_up_to_the_highest() -> None:
    end = 2 * RAISE_S
    assert levels((0, 85), (RAISE_S - 1, 90), (RAISE_S, 85), (end, 86), (end + 999, 94.9)) == [
        PARALLEL, PARALLEL, PAUSE, UNLOAD, UNLOAD,
    ]  # fmt: skip
    assert levels((0, 85), (RAISE_S, 85), (end, 85), limits=Limits(85.0, 95.0, PAUSE))[-1] is PAUSE


def test_between_cool_and_hot_everything_stays_as_it_is() -> None:
    assert levels((0, 86), (500, 84), (5000, 85 - BACK_C + 0.1)) == [PARALLEL] * 3


def test_a_cool_device_gets_a_level_back_after_each_while() -> None:
    cool, last = 85 - BACK_C, 100 + 2 * LOWER_S
    found = levels(
        (0, 86), (RAISE_S, 86), (100, cool), (100 + LOWER_S - 1, cool), (100 + LOWER_S, cool),
        (last - 1, cool), (last, cool), (last + 999, cool),
    )  # fmt: skip
    assert found == [PARALLEL, PAUSE, PAUSE, PAUSE, PARALLEL, PARALLEL, NONE, NONE]


def test_a_moment_that_is_not_cool_begins_the_while_anew() -> None:
    cool, end = 85 - BACK_C, 100 + LOWER_S
    found = levels((0, 86), (100, cool), (end - 1, 84), (end, cool), (end + LOWER_S - 1, cool))
    assert found == [PARALLEL] * 5


def test_one_reading_above_the_hard_limit_may_be_a_glitch_and_two_stop_its_models_at_once() -> None:
    assert levels((0, 96), (1, 70), (HARD_S, 96)) == [PARALLEL] * 3
    assert levels((0, 95), (HARD_S - 0.1, 95), (HARD_S, 95), (999, 90)) == [PARALLEL, PARALLEL, STOP, STOP]


def test_what_was_stopped_comes_back_with_pauses() -> None:
    cool = 85 - BACK_C
    assert levels((0, 96), (HARD_S, 96), (10, cool), (10 + LOWER_S, cool))[2:] == [STOP, PAUSE]
    unloaded = levels((0, 86), (30, 86), (60, 86), (100, cool), (100 + LOWER_S, cool))
    assert unloaded[2:] == [UNLOAD, UNLOAD, PAUSE]


def test_a_device_that_says_that_heat_holds_it_down_is_hot_and_never_cool() -> None:
    assert levels((0, 60), (RAISE_S, 60), throttled=True) == [PARALLEL, PAUSE]
    heat = Heat(PARALLEL)
    assert after_reading(heat, Reading("X", 60.0, LIMITS, throttled=True), 0.0).cool_s is None


def test_the_highest_temperature_since_it_became_hot_is_kept() -> None:
    heat = Heat()
    for at_s, degrees in enumerate((60.0, 86.0, 91.0, 84.0)):
        heat = after_reading(heat, Reading("X", degrees, LIMITS), at_s)
    assert heat.peak_c == 91
    assert after_reading(Heat(peak_c=99.0), Reading("X", 60.0, LIMITS), 0.0).peak_c is None


@pytest.mark.parametrize(
    ("level", "own", "most"),
    [(NONE, 4, None), (PARALLEL, 4, 2), (PARALLEL, 1, 1), (PARALLEL, None, 1), (PAUSE, 8, 1), (STOP, 8, 1)],
)
def test_fewer_requests_at_a_time(level: Level, own: int | None, most: int | None) -> None:
    assert parallel(level, own) == most


def limits_of(machine: Hardware, **settings: float) -> dict[str, tuple[float, float, float, Level]]:
    return {
        device: (one.temperature_c, one.limits.soft_c, one.limits.hard_c, one.limits.highest)
        for device, one in heat_limits.readings(machine, **settings)
    }


RTX = Gpu("pci:1", "nvidia", "RTX", temperature_c=80.0)
RADEON = Gpu("pci:2", "amd", "Radeon", temperature_c=70.0)


def test_limits_are_the_devices_own_or_those_of_its_kind() -> None:
    thermals = (
        Thermal("nvidia/0/gpu", 80.0, 95.0, 98.0, device="pci:1"),
        Thermal("amdgpu/2/edge", 70.0, None, 100.0, device="pci:2"),
        Thermal("amdgpu/2/junction", 101.0, None, 110.0, device="pci:2"),
        Thermal("nvme/nvme0/Composite", 84.0, 84.0, 85.0, device="nvme0"),
        Thermal("coretemp/c/Package id 0", 90.0, 80.0, 100.0, device="c"),
    )
    assert limits_of(Hardware(gpus=(RTX, RADEON), thermals=thermals)) == {
        "pci:1": (80.0, 88.0, 95.0, UNLOAD),
        "pci:2": (101.0, 103.0, 110.0, UNLOAD),
        "cpu": (90.0, 99.0, 105.0, PAUSE),
    }
    assert limits_of(Hardware(gpus=(RTX,))) == {"pci:1": (80.0, 86.0, 93.0, UNLOAD)}
    assert limits_of(Hardware(gpus=(Gpu("pci:1", "nvidia", "asleep", asleep=True),))) == {}


def test_a_ryzen_computes_at_its_own_limit_and_an_offset_is_no_heat() -> None:
    tctl, tdie = Thermal("k10temp/a/Tctl", 95.0), Thermal("k10temp/a/Tdie", 68.0)
    assert limits_of(Hardware(thermals=(tctl,))) == {"cpu": (95.0, 96.0, 102.0, PAUSE)}
    assert limits_of(Hardware(thermals=(tctl, tdie)))["cpu"][0] == 68


def test_an_owner_sets_other_limits() -> None:
    machine = Hardware(gpus=(RTX,), thermals=(Thermal("coretemp/c/Package id 0", 90.0, None, 100.0),))
    assert limits_of(machine, soft_c=70.0) == {
        "pci:1": (80.0, 70.0, 93.0, UNLOAD), "cpu": (90.0, 70.0, 105.0, UNLOAD),
    }  # fmt: skip
    assert limits_of(machine, hard_c=80.0)["pci:1"] == (80.0, 73.0, 80.0, UNLOAD)
    assert limits_of(machine, soft_c=90.0, hard_c=80.0)["pci:1"] == (80.0, 80.0, 80.0, UNLOAD)


@pytest.mark.parametrize(
    ("reasons", "throttled"),
    [
        (("hw_thermal",), True),
        (("temp_hotspot",), True),
        (("vr_hot",), True),
        (("hw_power_brake",), False),
        (None, False),
    ],
)
def test_only_heat_is_heat(reasons: tuple[str, ...] | None, throttled: bool) -> None:
    gpu = Gpu("pci:1", "nvidia", "RTX", temperature_c=60.0, throttled_by=reasons)
    ((_, reading),) = heat_limits.readings(Hardware(gpus=(gpu,), cpu=Cpu("an unknown one")))
    assert reading.throttled is throttled


def test_the_cost_is_what_was_before_and_since() -> None:
    cost = Cost().after(0.0, {"a": 100.0}, 300.0, relieved=False)
    cost = cost.after(10.0, {"a": 500.0}, 300.0, relieved=True)
    cost = cost.after(20.0, {"a": 600.0, "b": 50.0}, 140.0, relieved=True)
    cost = cost.after(30.0, {"a": 0.0, "b": 150.0}, 160.0, relieved=False)
    assert (cost.before.tokens_per_s, cost.since.tokens_per_s) == (40, 10)
    assert Cost().in_words(0.0) == ""


def test_what_it_cost_is_told_in_words() -> None:
    cost = Cost().after(0.0, {}, 300.0, relieved=False).after(60.0, {"a": 9.0}, 300.0, relieved=True)
    cost = cost.after(120.0, {"a": 609.0}, 150.0, relieved=True)
    assert cost.in_words(120.0) == "for 1 min 00 s; 150 W, 300 W before; 10.0 tokens/s, 0 before"


def test_generated_tokens_are_read_from_the_counters_of_both_engines() -> None:
    assert generated(("llamacpp:prompt_tokens_total 7", "llamacpp:tokens_predicted_total 42")) == 42
    assert generated(('vllm:generation_tokens_total{model_name="m"} 1.5e+03',)) == 1500
    assert generated(("0123abc",)) is None
