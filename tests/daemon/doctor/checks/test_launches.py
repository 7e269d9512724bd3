"""Models that are launched and not served."""

import pytest

from daemon.doctor.checks import launches
from daemon.doctor.checks.input import Daemon, LaunchHealth
from domain.launches.launch import LaunchState
from tests.daemon.doctor.checks.build import (
    ERROR,
    HEALTHY,
    NOT_KNOWN,
    OK,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)

CASES = [
    Case("nothing is launched", HEALTHY, (OK,), ("nothing is launched",)),
    Case(
        "all serve",
        inputs(launches=(LaunchHealth("qwen", LaunchState.READY, desired=True),)),
        (OK,),
        ("1 desired",),
    ),
    Case("the state can't be read", inputs(launches=None), (NOT_KNOWN,), ("sudo node-ctl doctor",)),
    Case(
        "a desired one fails again and again",
        inputs(
            launches=(LaunchHealth("qwen", LaunchState.FAILED, True, 5, "llama.cpp exited 1 while starting"),)
        ),
        (ERROR,),
        ("qwen failed after 5 restarts: llama.cpp exited 1", "node-ctl logs qwen"),
    ),
    Case(
        "an engine that can't be killed",
        inputs(
            launches=(
                LaunchHealth(
                    "qwen", LaunchState.STOPPING, False, last_error="process 77 does not end", stuck_pid=77
                ),
            )
        ),
        (ERROR,),
        ("qwen: process 77 does not end", "a reboot ends it"),
    ),
    Case(
        "one is being restarted",
        inputs(launches=(LaunchHealth("qwen", LaunchState.DEGRADED, True, 1, "killed"),)),
        (WARNING,),
        ("qwen is degraded after 1 restart: killed",),
    ),
    Case(
        "the first start failed and is not repeated",
        inputs(launches=(LaunchHealth("qwen", LaunchState.FAILED, desired=False),)),
        (WARNING,),
        ("the cause is unknown", "node-ctl stop qwen --forget"),
    ),
    Case(
        "no daemon supervises it",
        inputs(
            launches=(LaunchHealth("qwen", LaunchState.READY, desired=True),),
            daemon=Daemon("no node-daemon is running", "start it"),
        ),
        (NOT_KNOWN,),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_models_that_are_not_served(case: Case) -> None:
    judge(launches.check, case)
