"""Links that do less than card and slot can, and idle ones, which say nothing."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import pcie
from domain.accelerator import PcieLink
from domain.hardware import Gpu
from tests.daemon.doctor.checks.build import GB10, NOT_KNOWN, OK, RTX_3090, WARNING, Case, facts, judge, name


def card(link: PcieLink, *, power_w: float | None = 30.0) -> Gpu:
    return replace(RTX_3090, link=link, power_w=power_w)


CASES = [
    Case("the best", facts(card(PcieLink(4, 16, 4, 16, 4, 16))), (OK,), ("generation 4 x16",)),
    Case("idle", facts(card(PcieLink(1, 16, 4, 16, 4, 16))), (NOT_KNOWN,), ("says nothing while it idles",)),
    Case("idle, with fewer lanes", facts(card(PcieLink(1, 4, 4, 16, 4, 16))), (NOT_KNOWN,)),
    Case(
        "at work, with fewer lanes",
        facts(card(PcieLink(4, 4, 4, 16, 4, 16), power_w=300.0)),
        (WARNING,),
        ("does generation 4 x4 under load and can generation 4 x16", "seat the card"),
    ),
    Case(
        "at work, an older generation", facts(card(PcieLink(1, 16, 3, 16, 4, 16), power_w=300.0)), (WARNING,)
    ),
    Case(
        "a slot that allows no more",
        facts(card(PcieLink(3, 4, 3, 4, 4, 16))),
        (OK,),
        ("generation 3 x4, all that its slot allows; the card can generation 4 x16",),
    ),
    Case(
        "behind Thunderbolt",
        facts(card(PcieLink(3, 4, 3, 4, 4, 16, external=True))),
        (OK,),
        ("(Thunderbolt or USB4)",),
    ),
    Case(
        "a slot of an older generation",
        facts(card(PcieLink(3, 16, 3, 16, 4, 16))),
        (OK,),
        ("generation 3 x16, all that its slot allows; the card can generation 4 x16",),
    ),
    Case(
        "at work, the limit in force is not told",
        facts(replace(card(PcieLink(4, 4, 4, 16), power_w=300.0), power_limit_w=None, power_default_w=350.0)),
        (WARNING,),
    ),
    Case("not told how many lanes it uses", facts(card(PcieLink(4, None, 4, 16))), (NOT_KNOWN,)),
    Case("not told", facts(RTX_3090), (NOT_KNOWN,)),
    Case("not told what it does now", facts(card(PcieLink(None, None, 4, 16))), (NOT_KNOWN,)),
    Case(
        "a power that is not told is no load", facts(card(PcieLink(1, 16, 4, 16), power_w=None)), (NOT_KNOWN,)
    ),
    Case("a GB10 shows a placeholder", facts(replace(GB10, link=PcieLink(1, 1, 1, 1))), ()),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_link_is_judged_under_load_alone(case: Case) -> None:
    judge(pcie.check, case)
