"""A hub that does not answer, where it was asked."""

import pytest

from daemon.doctor.checks import hub
from daemon.doctor.checks.input import Hub
from tests.daemon.doctor.checks.build import ERROR, NOT_KNOWN, OK, WELL, Case, facts, judge, name

CASES = [
    Case("not asked", WELL, ()),
    Case(
        "it answers",
        facts(hub=Hub("https://hub.example", 0.31)),
        (OK,),
        ("https://hub.example answered in 0.3 s",),
    ),
    Case("the settings forbid it", facts(hub=Hub("https://hub.example", asked=False)), (NOT_KNOWN,)),
    Case(
        "it does not",
        facts(hub=Hub("https://hub.example", error="[Errno -2] Name or service not known")),
        (ERROR,),
        ("Name or service not known", "HF_ENDPOINT"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_hub_out_of_reach_is_told(case: Case) -> None:
    judge(hub.check, case)
