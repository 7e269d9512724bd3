"""RAM that is short."""

import pytest

from daemon.doctor.checks import memory
from domain.units import GIB
from tests.daemon.doctor.checks.build import NOT_KNOWN, OK, WARNING, WELL, Case, facts, judge, name

CASES = [
    Case("plenty", WELL, (OK,), ("100.0 GiB of 120.0 GiB free",)),
    Case(
        "little",
        facts(memory={"available_bytes": 9 * GIB}),
        (WARNING,),
        ("9.0 GiB of 120.0 GiB", "node-ctl ps"),
    ),
    Case("not told", facts(memory={"available_bytes": None}), (NOT_KNOWN,)),
    Case(
        "a control group above",
        facts(memory={"cgroup_limit_bytes": 8 * GIB}),
        (OK,),
        ("limited to 8.0 GiB by a control group",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_little_ram_is_told(case: Case) -> None:
    judge(memory.check, case)
