"""Clocks that nobody sets."""

import pytest

from daemon.doctor.checks import clock
from tests.daemon.doctor.checks.build import NOT_KNOWN, OK, WARNING, WELL, Case, facts, judge, name

CASES = [
    Case("synchronised", WELL, (OK,)),
    Case("not", facts(clock_synchronised=False), (WARNING,), ("follows no time server", "set-ntp true")),
    Case("not told", facts(clock_synchronised=None), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_clock_without_a_server_is_told(case: Case) -> None:
    judge(clock.check, case)
