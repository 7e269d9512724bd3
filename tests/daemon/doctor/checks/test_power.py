"""Cards below the power that their makers gave them."""

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
    facts,
    judge,
    name,
)

CASES = [
    Case("as its maker made it", facts(RTX_3090), (OK,), ("350 W",)),
    Case(
        "capped",
        facts(replace(RTX_3090, power_limit_w=200.0)),
        (WARNING,),
        ("limited to 200 of 350 W", "sudo nvidia-smi -i 0000:01:00.0 -pl 350", "where you set it"),
    ),
    Case(
        "capped by a driver that counts in µW",
        facts(replace(RADEON, power_limit_w=200.0)),
        (WARNING,),
        ("350000000",),
    ),
    Case("above it", facts(replace(RTX_3090, power_limit_w=380.0)), (OK,)),
    Case("not told", facts(replace(RTX_3090, power_default_w=None)), (NOT_KNOWN,)),
    Case("asleep", facts(replace(RTX_3090, power_limit_w=None, asleep=True)), (NOT_KNOWN,), ("(asleep)",)),
    Case("a chip that shares its power with the CPU", facts(GB10), ()),
    Case("a part of a card has no limit of its own", facts(replace(RTX_3090, parent="pci:0000:01:00.0")), ()),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_capped_card_is_told(case: Case) -> None:
    judge(power.check, case)
