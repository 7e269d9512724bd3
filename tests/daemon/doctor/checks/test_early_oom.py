"""Machines that freeze before the kernel ends a process."""

import pytest

from daemon.doctor.checks import early_oom
from probes.system.setup import System
from tests.daemon.doctor.checks.build import GB10, HALO, OK, RTX_3090, WARNING, Case, facts, judge, name

CASES = [
    Case("a card with memory of its own", facts(RTX_3090), ()),
    Case("a GB10 without a guard", facts(GB10), (WARNING,), ("earlyoom", "-s 100")),
    Case("a Strix Halo without one", facts(HALO), (WARNING,)),
    Case(
        "one that runs",
        facts(GB10, system=System(oom_guards=("systemd-oomd",))),
        (OK,),
        ("systemd-oomd runs",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_shared_memory_without_a_guard_is_told(case: Case) -> None:
    judge(early_oom.check, case)
