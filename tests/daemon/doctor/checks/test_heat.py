"""Devices that are hot while idle, near their limit, or throttled."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import heat
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import Cpu, Thermal
from probes.system.setup import System
from tests.daemon.doctor.checks.build import (
    ERROR,
    HEALTHY,
    NOT_KNOWN,
    OK,
    RTX_3090,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)

TCTL = Thermal("k10temp/0000:00:18.3/Tctl", 41.0)
COOL = {"thermals": (TCTL,)}


def cpu(*, load: float | None) -> DoctorInput:
    hot = {"thermals": (replace(TCTL, temperature_c=78.0),), "cpu": Cpu(logical_cpus=32)}
    return inputs(hardware=hot, system=System(load=load))


CASES = [
    Case(
        "cool",
        inputs(RTX_3090, hardware={"thermals": (TCTL,)}),
        (OK,),
        ("41 °C at most (k10temp/0000:00:18.3/Tctl)",),
    ),
    Case("no sensor", HEALTHY, (NOT_KNOWN,)),
    Case(
        "an input of the board that nothing is connected to, with a constant",
        inputs(hardware={"thermals": (TCTL, Thermal("nct6798/nct6775.656/AUXTIN1", 99.0, None, 100.0))}),
        (OK,),
    ),
    Case(
        "an input of the board beside a CPU that is as hot",
        inputs(
            hardware={
                "thermals": (
                    replace(TCTL, temperature_c=88.0),
                    Thermal("nct6798/nct6775.656/SYSTIN", 99.0, None, 100.0),
                )
            }
        ),
        (ERROR,),
        ("nct6798/nct6775.656/SYSTIN is at 99 °C, critical is 100 °C",),
    ),
    Case(
        "a card that is hot while idle",
        inputs(replace(RTX_3090, temperature_c=72.0, power_w=35.0)),
        (WARNING,),
        ("72 °C while idle (35 W)", "paste"),
    ),
    Case(
        "a card that is hot while idle, with only the vendor's limit known",
        inputs(
            replace(RTX_3090, temperature_c=72.0, power_w=35.0, power_limit_w=None, power_default_w=350.0)
        ),
        (WARNING,),
    ),
    Case(
        "a card in use",
        inputs(replace(RTX_3090, temperature_c=72.0, power_w=300.0), hardware=COOL),
        (OK,),
    ),
    Case(
        "a card of unknown power",
        inputs(replace(RTX_3090, temperature_c=72.0, power_w=None), hardware=COOL),
        (OK,),
    ),
    Case(
        "throttled for heat",
        inputs(
            replace(
                RTX_3090,
                throttled_by=(
                    "sw_thermal",
                    "hw_power_brake",
                ),
            ),
            hardware=COOL,
        ),
        (WARNING,),
        ("is throttled now: sw_thermal, hw_power_brake",),
    ),
    Case(
        "throttled by its power supply",
        inputs(replace(RTX_3090, throttled_by=("hw_power_brake",)), hardware=COOL),
        (WARNING,),
        ("is throttled now: hw_power_brake", "power supply and cables"),
    ),
    Case(
        "near its limit",
        inputs(hardware={"thermals": (Thermal("nvme/nvme0/Composite", 84.0, 81.0, 84.8),)}),
        (ERROR,),
        ("nvme/nvme0/Composite is at 84 °C, critical is 85 °C",),
    ),
    Case(
        "a CPU at its limit",
        inputs(hardware={"thermals": (Thermal("coretemp/coretemp.0/Package id 0", 99.0, 100.0, 100.0),)}),
        (WARNING,),
        ("is at 99 °C, critical is 100 °C", "throttles"),
    ),
    Case("a CPU that is hot while idle", cpu(load=0.4), (WARNING,), ("the CPU is at 78 °C while idle",)),
    Case("a CPU in use", cpu(load=9.0), (OK,)),
    Case("an unknown load", cpu(load=None), (OK,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_heat_that_should_not_be(case: Case) -> None:
    judge(heat.check, case)
