"""Links below the maximum of card and slot, and idle ones, of which nothing is known."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import pcie
from domain.machine.accelerator import PcieLink
from domain.machine.hardware import Gpu
from tests.daemon.doctor.checks.build import (
    GB10,
    NOT_KNOWN,
    OK,
    RTX_3090,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)


def card(link: PcieLink, *, power_w: float | None = 30.0) -> Gpu:
    return replace(RTX_3090, link=link, power_w=power_w)


CASES = [
    Case("the best", inputs(card(PcieLink(4, 16, 4, 16, 4, 16))), (OK,), ("generation 4 x16",)),
    Case("idle", inputs(card(PcieLink(1, 16, 4, 16, 4, 16))), (NOT_KNOWN,), ("normal while idle",)),
    Case("idle, with fewer lanes", inputs(card(PcieLink(1, 4, 4, 16, 4, 16))), (NOT_KNOWN,)),
    Case(
        "in use, with fewer lanes",
        inputs(card(PcieLink(4, 4, 4, 16, 4, 16), power_w=300.0)),
        (WARNING,),
        ("runs at generation 4 x4 under load, its maximum is generation 4 x16", "reseat the card"),
    ),
    Case(
        "in use, an older generation", inputs(card(PcieLink(1, 16, 3, 16, 4, 16), power_w=300.0)), (WARNING,)
    ),
    Case(
        "a slot that allows no more",
        inputs(card(PcieLink(3, 4, 3, 4, 4, 16))),
        (OK,),
        ("generation 3 x4, the maximum of its slot; the card supports generation 4 x16",),
    ),
    Case(
        "behind Thunderbolt",
        inputs(card(PcieLink(3, 4, 3, 4, 4, 16, external=True))),
        (OK,),
        ("(Thunderbolt or USB4)",),
    ),
    Case(
        "a slot of an older generation",
        inputs(card(PcieLink(3, 16, 3, 16, 4, 16))),
        (OK,),
        ("generation 3 x16, the maximum of its slot; the card supports generation 4 x16",),
    ),
    Case(
        "in use, the limit in force is unknown",
        inputs(
            replace(card(PcieLink(4, 4, 4, 16), power_w=300.0), power_limit_w=None, power_default_w=350.0)
        ),
        (WARNING,),
    ),
    Case("the number of lanes in use is unknown", inputs(card(PcieLink(4, None, 4, 16))), (NOT_KNOWN,)),
    Case("unknown", inputs(RTX_3090), (NOT_KNOWN,)),
    Case("the present state is unknown", inputs(card(PcieLink(None, None, 4, 16))), (NOT_KNOWN,)),
    Case(
        "an unknown power is no load",
        inputs(card(PcieLink(1, 16, 4, 16), power_w=None)),
        (NOT_KNOWN,),
    ),
    Case("a GB10 shows a placeholder", inputs(replace(GB10, link=PcieLink(1, 1, 1, 1))), ()),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_link_is_judged_only_under_load(case: Case) -> None:
    judge(pcie.check, case)
