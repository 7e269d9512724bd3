"""What probes could not read, except problems with a check of their own."""

import pytest

from daemon.doctor.checks import problems
from domain.machine.hardware import Problem, ProblemKind
from tests.daemon.doctor.checks.build import HEALTHY, OK, WARNING, Case, case_id, inputs, judge

CASES = [
    Case("none", HEALTHY, (OK,)),
    Case(
        "one",
        inputs(
            hardware={
                "problems": (
                    Problem("cpu", "missing below /: model", "mount /proc and /sys in this container"),
                )
            }
        ),
        (WARNING,),
        ("cpu: missing below /: model", "mount /proc"),
    ),
    Case(
        "one that the driver's check reports",
        inputs(hardware={"problems": (Problem("nvidia", "no driver", "reboot", ProblemKind.DRIVER),)}),
        (OK,),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_what_probes_could_not_read(case: Case) -> None:
    judge(problems.check, case)
