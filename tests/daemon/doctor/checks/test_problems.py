"""What probes could not read, but for what has a check of its own."""

import pytest

from daemon.doctor.checks import problems
from domain.hardware import Problem, ProblemKind
from tests.daemon.doctor.checks.build import OK, WARNING, WELL, Case, facts, judge, name

CASES = [
    Case("none", WELL, (OK,)),
    Case(
        "one",
        facts(
            box={
                "problems": (
                    Problem("cpu", "not told below /: model", "mount /proc and /sys in this container"),
                )
            }
        ),
        (WARNING,),
        ("cpu: not told below /: model", "mount /proc"),
    ),
    Case(
        "one that the driver's check tells",
        facts(box={"problems": (Problem("nvidia", "no driver", "reboot", ProblemKind.DRIVER),)}),
        (OK,),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_what_probes_could_not_read_is_told(case: Case) -> None:
    judge(problems.check, case)
