"""Memory that is swapped out."""

import pytest

from daemon.doctor.checks import swap
from domain.units import GIB
from tests.daemon.doctor.checks.build import NOT_KNOWN, OK, WARNING, WELL, Case, facts, judge, name

CASES = [
    Case("no swap", WELL, (OK,), ("no swap",)),
    Case(
        "some of it",
        facts(memory={"swap_total_bytes": 16 * GIB, "swap_free_bytes": 15 * GIB}),
        (OK,),
        ("1.0 GiB of 16.0 GiB swapped out",),
    ),
    Case(
        "most of it",
        facts(memory={"swap_total_bytes": 16 * GIB, "swap_free_bytes": GIB}),
        (WARNING,),
        ("15.0 GiB of 16.0 GiB", "speed of the disk", "swapoff"),
    ),
    Case("not told", facts(memory={"swap_free_bytes": None}), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_memory_that_is_swapped_out_is_told(case: Case) -> None:
    judge(swap.check, case)
