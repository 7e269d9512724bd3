"""Little free RAM."""

import pytest

from daemon.doctor.checks import memory
from domain.units import GIB
from probes.memory.usage import MemoryUse
from probes.system.setup import System
from tests.daemon.doctor.checks.build import HEALTHY, NOT_KNOWN, OK, WARNING, Case, case_id, inputs, judge

CASES = [
    Case("plenty", HEALTHY, (OK,), ("100.0 GiB of 120.0 GiB free",)),
    Case(
        "little",
        inputs(memory={"available_bytes": 9 * GIB}),
        (WARNING,),
        ("9.0 GiB of 120.0 GiB", "node-ctl ps"),
    ),
    Case(
        "little, and where the rest is",
        inputs(
            memory={"available_bytes": 9 * GIB},
            system=System(memory_uses=(MemoryUse("programs", 80 * GIB), MemoryUse("the kernel", 3 * GIB))),
        ),
        (WARNING,),
        ("in use: 80.0 GiB programs, 3.0 GiB the kernel",),
    ),
    Case(
        "ZFS",
        inputs(memory={"arc_reclaimable_bytes": 39 * GIB}),
        (OK,),
        ("39.0 GiB of it in ZFS's cache (ARC), which gives it back",),
    ),
    Case("unknown", inputs(memory={"available_bytes": None}), (NOT_KNOWN,)),
    Case(
        "a control group above",
        inputs(memory={"cgroup_limit_bytes": 8 * GIB}),
        (OK,),
        ("limited to 8.0 GiB by a control group",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_little_free_ram(case: Case) -> None:
    judge(memory.check, case)
