"""What engines could do besides serving, where the kernel or the settings let them."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import engine_sandbox
from daemon.doctor.checks.input import LaunchHealth
from domain.errors import EngineError
from domain.launches.launch import LaunchState
from launchers.sandbox.support import Support
from tests.daemon.doctor.checks.build import HEALTHY, NOT_KNOWN, OK, WARNING, Case, case_id, inputs, judge


def launched(why: str, hint: str) -> LaunchHealth:
    return LaunchHealth(
        "m", LaunchState.READY, desired=True, own_user_because=EngineError(why, hint=hint, cause="no_unit")
    )


SERVICE = replace(HEALTHY.daemon, as_service=True)
USERS = replace(HEALTHY.daemon, as_service=False)

CASES = [
    Case("a new kernel", HEALTHY, (OK,), ("landlock (ABI 7) and seccomp",)),
    Case(
        "Debian 12's kernel",
        inputs(sandbox_support=Support(landlock=2, seccomp=True)),
        (WARNING,),
        ("ABI 2", "no TCP ports nor signals", "6.12 or newer"),
    ),
    Case(
        "ports and no signals",
        inputs(sandbox_support=Support(landlock=4, seccomp=True)),
        (WARNING,),
        ("but no signals",),
    ),
    Case(
        "no landlock",
        inputs(sandbox_support=Support(landlock=None, seccomp=True)),
        (WARNING,),
        ("has no landlock", "lsm=landlock"),
    ),
    Case(
        "no filters",
        inputs(sandbox_support=Support(landlock=7, seccomp=False)),
        (WARNING,),
        ("no seccomp filter", "CONFIG_SECCOMP_FILTER"),
    ),
    Case(
        "an engine that can't read its weights under a user of its own",
        inputs(launches=(launched("/w is not open to other users", "move it, then restart NAME"),)),
        (WARNING,),
        ("m runs under the daemon's own user: /w is not open", "move it, then restart m"),
    ),
    Case(
        "an engine that has to run under the daemon's",
        inputs(daemon=SERVICE, launches=(launched("it opens connections of its own", ""),)),
        (OK,),
        ("seccomp; m runs under the daemon's own user, with no limit of memory", ": it opens connections"),
    ),
    Case(
        "a daemon of a user",
        inputs(daemon=USERS),
        (OK,),
        ("engines are process groups, with no limit of memory", "the system service has units"),
    ),
    Case("switched off", inputs(engine_sandbox=False), (WARNING,), ("engine_sandbox is false",)),
    Case("unknown", inputs(sandbox_support=None), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_what_is_not_limited_is_told(case: Case) -> None:
    judge(engine_sandbox.check, case)
