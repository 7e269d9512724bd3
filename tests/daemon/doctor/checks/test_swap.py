"""Memory that is swapped out."""

import pytest

from daemon.doctor.checks import swap
from domain.units import GIB
from tests.daemon.doctor.checks.build import HEALTHY, NOT_KNOWN, OK, WARNING, Case, case_id, inputs, judge

CASES = [
    Case("no swap", HEALTHY, (OK,), ("no swap",)),
    Case(
        "some of it",
        inputs(memory={"swap_total_bytes": 16 * GIB, "swap_free_bytes": 15 * GIB}),
        (OK,),
        ("1.0 GiB of 16.0 GiB swap used",),
    ),
    Case(
        "most of it",
        inputs(memory={"swap_total_bytes": 16 * GIB, "swap_free_bytes": GIB}),
        (WARNING,),
        ("15.0 GiB of 16.0 GiB", "speed of the disk", "swapoff"),
    ),
    Case("unknown", inputs(memory={"swap_free_bytes": None}), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_memory_that_is_swapped_out(case: Case) -> None:
    judge(swap.check, case)
