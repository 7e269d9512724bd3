"""Huge pages that are reserved and not used."""

import pytest

from daemon.doctor.checks import huge_pages
from domain.units import GIB
from tests.daemon.doctor.checks.build import (
    GB10,
    HEALTHY,
    NOT_KNOWN,
    OK,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)

RESERVED = {"hugepages_total_bytes": 8 * GIB, "hugepages_free_bytes": GIB}

CASES = [
    Case("none", HEALTHY, (OK,)),
    Case(
        "some",
        inputs(memory=RESERVED),
        (WARNING,),
        ("8.0 GiB reserved, 1.0 GiB of them unused", "nr_hugepages=0"),
    ),
    Case(
        "some on a GB10",
        inputs(GB10, memory=RESERVED),
        (WARNING,),
        ("llama.cpp counts only the unused huge pages",),
    ),
    Case("unknown", inputs(memory={"hugepages_total_bytes": None}), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_reserved_huge_pages(case: Case) -> None:
    judge(huge_pages.check, case)
