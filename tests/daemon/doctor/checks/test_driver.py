"""Drivers that do not answer or do not match their libraries."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import driver
from domain.machine.hardware import Problem, ProblemKind
from tests.daemon.doctor.checks.build import (
    ERROR,
    HEALTHY,
    NOT_KNOWN,
    OK,
    RTX_3090,
    Case,
    captured,
    case_id,
    inputs,
    judge,
)

CASES = [
    Case("no GPU, no driver", HEALTHY, ()),
    Case("one that answers", inputs(RTX_3090), (OK,), ("nvidia 580.95.05",)),
    Case(
        "the library is newer than the module",
        inputs(
            hardware={
                "problems": (
                    Problem(
                        "nvidia",
                        "the NVIDIA libraries don't match the loaded module 580.95.05",
                        "reboot",
                        ProblemKind.DRIVER,
                    ),
                )
            }
        ),
        (ERROR,),
        ("don't match the loaded module 580.95.05", "reboot"),
    ),
    Case(
        "cards on the bus, and no library",
        captured("dual-3090"),
        (ERROR,),
        ("libnvidia-ml.so.1 is not installed",),
    ),
    Case(
        "a card fell off the bus",
        inputs(
            RTX_3090,
            hardware={
                "problems": (
                    Problem(
                        "nvidia", "the GPU at 0000:04:00.0 is lost", "power the machine off", ProblemKind.LOST
                    ),
                )
            },
        ),
        (ERROR,),
        ("is lost", "fell off the bus"),
    ),
    Case("an unknown driver", inputs(replace(RTX_3090, driver=None)), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_driver_that_does_not_work(case: Case) -> None:
    judge(driver.check, case)
