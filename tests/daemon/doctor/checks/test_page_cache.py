"""Cached files that CUDA takes for used memory."""

import pytest

from daemon.doctor.checks import page_cache
from domain.units import GIB
from probes.system.setup import System
from tests.daemon.doctor.checks.build import GB10, HALO, NOT_KNOWN, OK, WARNING, Case, facts, judge, name

CASES = [
    Case("no such GPU", facts(HALO), ()),
    Case("a little", facts(GB10, system=System(page_cache_bytes=4 * GIB, free_bytes=90 * GIB)), (OK,)),
    Case(
        "much",
        facts(GB10, system=System(page_cache_bytes=70 * GIB, free_bytes=20 * GIB)),
        (WARNING,),
        ("70.0 GiB of cached files, 20.0 GiB quite free", "drop_caches"),
    ),
    Case(
        "much, and more is free",
        facts(GB10, system=System(page_cache_bytes=50 * GIB, free_bytes=64 * GIB)),
        (OK,),
    ),
    Case("not told", facts(GB10), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_much_page_cache_beside_cuda_is_told(case: Case) -> None:
    judge(page_cache.check, case)
