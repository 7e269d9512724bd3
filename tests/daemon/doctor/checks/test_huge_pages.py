"""Huge pages that are reserved and not used."""

import pytest

from daemon.doctor.checks import huge_pages
from domain.units import GIB
from tests.daemon.doctor.checks.build import GB10, NOT_KNOWN, OK, WARNING, WELL, Case, facts, judge, name

RESERVED = {"hugepages_total_bytes": 8 * GIB, "hugepages_free_bytes": GIB}

CASES = [
    Case("none", WELL, (OK,)),
    Case(
        "some",
        facts(memory=RESERVED),
        (WARNING,),
        ("8.0 GiB reserved, 1.0 GiB of them unused", "nr_hugepages=0"),
    ),
    Case(
        "some on a GB10", facts(GB10, memory=RESERVED), (WARNING,), ("llama.cpp takes the unused huge pages",)
    ),
    Case("not told", facts(memory={"hugepages_total_bytes": None}), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_reserved_huge_pages_are_told(case: Case) -> None:
    judge(huge_pages.check, case)
