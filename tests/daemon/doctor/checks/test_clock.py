"""Clocks that are not synchronised."""

import pytest

from daemon.doctor.checks import clock
from tests.daemon.doctor.checks.build import HEALTHY, NOT_KNOWN, OK, WARNING, Case, case_id, inputs, judge

CASES = [
    Case("synchronised", HEALTHY, (OK,)),
    Case(
        "not",
        inputs(clock_synchronised=False),
        (WARNING,),
        ("not synchronised with a time server", "set-ntp true"),
    ),
    Case("unknown", inputs(clock_synchronised=None), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_clock_without_a_time_server(case: Case) -> None:
    judge(clock.check, case)
