"""Cards with a power limit below the vendor's default."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import power
from tests.daemon.doctor.checks.build import (
    GB10,
    NOT_KNOWN,
    OK,
    RADEON,
    RTX_3090,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)

CASES = [
    Case("the default", inputs(RTX_3090), (OK,), ("350 W",)),
    Case(
        "capped",
        inputs(replace(RTX_3090, power_limit_w=200.0)),
        (WARNING,),
        ("limited to 200 of 350 W", "sudo nvidia-smi -i 0000:01:00.0 -pl 350", "if you set the limit"),
    ),
    Case(
        "capped by a driver that counts in µW",
        inputs(replace(RADEON, power_limit_w=200.0)),
        (WARNING,),
        ("350000000",),
    ),
    Case("above it", inputs(replace(RTX_3090, power_limit_w=380.0)), (OK,)),
    Case("unknown", inputs(replace(RTX_3090, power_default_w=None)), (NOT_KNOWN,)),
    Case("asleep", inputs(replace(RTX_3090, power_limit_w=None, asleep=True)), (NOT_KNOWN,), ("(asleep)",)),
    Case("a chip that shares its power with the CPU", inputs(GB10), ()),
    Case(
        "a part of a card has no limit of its own", inputs(replace(RTX_3090, parent="pci:0000:01:00.0")), ()
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_limited_card(case: Case) -> None:
    judge(power.check, case)
