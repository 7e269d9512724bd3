"""Machines that freeze before the kernel kills a process."""

import pytest

from daemon.doctor.checks import early_oom
from probes.system.setup import System
from tests.daemon.doctor.checks.build import GB10, HALO, OK, RTX_3090, WARNING, Case, case_id, inputs, judge

CASES = [
    Case("a card with memory of its own", inputs(RTX_3090), ()),
    Case("a GB10 without an OOM daemon", inputs(GB10), (WARNING,), ("earlyoom", "-s 100")),
    Case("a Strix Halo without one", inputs(HALO), (WARNING,)),
    Case(
        "one that runs",
        inputs(GB10, system=System(oom_guards=("systemd-oomd",))),
        (OK,),
        ("systemd-oomd is running",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_unified_memory_without_an_oom_daemon(case: Case) -> None:
    judge(early_oom.check, case)
