"""What is hot while it idles, near its limit, or slowed down."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import heat
from daemon.doctor.checks.input import DoctorInput
from domain.hardware import Cpu, Thermal
from probes.system.setup import System
from tests.daemon.doctor.checks.build import (
    ERROR,
    NOT_KNOWN,
    OK,
    RTX_3090,
    WARNING,
    WELL,
    Case,
    facts,
    judge,
    name,
)

TCTL = Thermal("k10temp/0000:00:18.3/Tctl", 41.0)
COOL = {"thermals": (TCTL,)}


def cpu(*, load: float | None) -> DoctorInput:
    hot = {"thermals": (replace(TCTL, temperature_c=78.0),), "cpu": Cpu(logical_cpus=32)}
    return facts(box=hot, system=System(load=load))


CASES = [
    Case(
        "cool",
        facts(RTX_3090, box={"thermals": (TCTL,)}),
        (OK,),
        ("41 °C at most (k10temp/0000:00:18.3/Tctl)",),
    ),
    Case("no sensor", WELL, (NOT_KNOWN,)),
    Case(
        "a card that idles hot",
        facts(replace(RTX_3090, temperature_c=72.0, power_w=35.0)),
        (WARNING,),
        ("72 °C at 35 W", "paste"),
    ),
    Case(
        "a card that idles hot and tells its maker's limit alone",
        facts(replace(RTX_3090, temperature_c=72.0, power_w=35.0, power_limit_w=None, power_default_w=350.0)),
        (WARNING,),
    ),
    Case("a card that works", facts(replace(RTX_3090, temperature_c=72.0, power_w=300.0), box=COOL), (OK,)),
    Case(
        "a card that does not tell its power",
        facts(replace(RTX_3090, temperature_c=72.0, power_w=None), box=COOL),
        (OK,),
    ),
    Case(
        "slowed down for heat",
        facts(
            replace(
                RTX_3090,
                throttled_by=(
                    "sw_thermal",
                    "hw_power_brake",
                ),
            ),
            box=COOL,
        ),
        (WARNING,),
        ("is slowed down now: sw_thermal, hw_power_brake",),
    ),
    Case(
        "slowed down by its power supply",
        facts(replace(RTX_3090, throttled_by=("hw_power_brake",)), box=COOL),
        (WARNING,),
        ("is slowed down now: hw_power_brake", "power supply and cables"),
    ),
    Case(
        "near its limit",
        facts(box={"thermals": (Thermal("nvme/nvme0/Composite", 84.0, 81.0, 84.8),)}),
        (ERROR,),
        ("nvme/nvme0/Composite has 84 °C, critical is 85 °C",),
    ),
    Case(
        "a CPU at its limit",
        facts(box={"thermals": (Thermal("coretemp/coretemp.0/Package id 0", 99.0, 100.0, 100.0),)}),
        (WARNING,),
        ("has 99 °C, critical is 100 °C", "slows down"),
    ),
    Case("a CPU that idles hot", cpu(load=0.4), (WARNING,), ("the CPU has 78 °C and little to do",)),
    Case("a CPU that works", cpu(load=9.0), (OK,)),
    Case("a load that is not told", cpu(load=None), (OK,)),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_heat_that_should_not_be_is_told(case: Case) -> None:
    judge(heat.check, case)
