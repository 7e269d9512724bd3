"""Cached files that CUDA counts as used memory."""

import pytest

from daemon.doctor.checks import page_cache
from domain.units import GIB
from probes.system.setup import System
from tests.daemon.doctor.checks.build import GB10, HALO, NOT_KNOWN, OK, WARNING, Case, case_id, inputs, judge

CASES = [
    Case("no such GPU", inputs(HALO), ()),
    Case("a little", inputs(GB10, system=System(page_cache_bytes=4 * GIB, free_bytes=90 * GIB)), (OK,)),
    Case(
        "much",
        inputs(GB10, system=System(page_cache_bytes=70 * GIB, free_bytes=20 * GIB)),
        (WARNING,),
        ("70.0 GiB of cached files, 20.0 GiB unused", "drop_caches"),
    ),
    Case(
        "much, and more is free",
        inputs(GB10, system=System(page_cache_bytes=50 * GIB, free_bytes=64 * GIB)),
        (OK,),
    ),
    Case("unknown", inputs(GB10), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_large_page_cache(case: Case) -> None:
    judge(page_cache.check, case)
