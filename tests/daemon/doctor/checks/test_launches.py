"""What was launched and is not served."""

import pytest

from daemon.doctor.checks import launches
from daemon.doctor.checks.input import Daemon, LaunchHealth
from domain.launch import LaunchState
from tests.daemon.doctor.checks.build import ERROR, NOT_KNOWN, OK, WARNING, WELL, Case, facts, judge, name

CASES = [
    Case("nothing is launched", WELL, (OK,), ("nothing is launched",)),
    Case(
        "all serve",
        facts(launches=(LaunchHealth("qwen", LaunchState.READY, wanted=True),)),
        (OK,),
        ("1 wanted",),
    ),
    Case("the state can't be read", facts(launches=None), (NOT_KNOWN,), ("sudo node-ctl doctor",)),
    Case(
        "a wanted one fails again and again",
        facts(
            launches=(LaunchHealth("qwen", LaunchState.FAILED, True, 5, "llama.cpp exited 1 while starting"),)
        ),
        (ERROR,),
        ("qwen failed after 5 tries: llama.cpp exited 1", "node-ctl logs qwen"),
    ),
    Case(
        "one comes back",
        facts(launches=(LaunchHealth("qwen", LaunchState.DEGRADED, True, 1, "killed"),)),
        (WARNING,),
        ("qwen comes back after 1 tries: killed",),
    ),
    Case(
        "a first try failed and was given up",
        facts(launches=(LaunchHealth("qwen", LaunchState.FAILED, wanted=False),)),
        (WARNING,),
        ("no cause is known", "node-ctl stop qwen --forget"),
    ),
    Case(
        "nobody watches",
        facts(
            launches=(LaunchHealth("qwen", LaunchState.READY, wanted=True),),
            daemon=Daemon("no node-daemon is running", "start it"),
        ),
        (NOT_KNOWN,),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_what_is_not_served_is_told(case: Case) -> None:
    judge(launches.check, case)
