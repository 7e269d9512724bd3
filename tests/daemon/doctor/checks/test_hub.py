"""A hub that cannot be reached."""

import pytest

from daemon.doctor.checks import hub
from daemon.doctor.checks.input import Hub
from tests.daemon.doctor.checks.build import ERROR, HEALTHY, NOT_KNOWN, OK, Case, case_id, inputs, judge

CASES = [
    Case("not requested", HEALTHY, ()),
    Case(
        "it answers",
        inputs(hub=Hub("https://hub.example", 0.31)),
        (OK,),
        ("https://hub.example answered in 0.3 s",),
    ),
    Case("the settings forbid it", inputs(hub=Hub("https://hub.example", asked=False)), (NOT_KNOWN,)),
    Case(
        "it does not",
        inputs(hub=Hub("https://hub.example", error="[Errno -2] Name or service not known")),
        (ERROR,),
        ("Name or service not known", "HF_ENDPOINT"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_hub_out_of_reach(case: Case) -> None:
    judge(hub.check, case)
