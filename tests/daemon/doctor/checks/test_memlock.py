"""Limits for locked memory, of the user who runs the engines."""

from typing import Any

import pytest

from daemon.doctor.checks import memlock
from daemon.doctor.checks.input import Daemon
from domain.units import GIB, MIB
from probes.system.systemd import Unit
from tests.daemon.doctor.checks.build import HEALTHY, NOT_KNOWN, OK, WARNING, Case, case_id, inputs, judge

LOW: dict[str, Any] = {"memlock_unlimited": False, "memlock_limit_bytes": 8 * MIB}
UNIT = Unit("node-daemon.service", "inactive", memlock_unlimited=True)

LIMITED = Unit("node-daemon.service", "active", memlock_bytes=8 * MIB)

CASES = [
    Case("unlimited", HEALTHY, (OK,), ("unlimited for this user",)),
    Case(
        "a user's limit",
        inputs(memory=LOW),
        (WARNING,),
        ("8 MiB of 120.0 GiB RAM may be locked by this user", "service install"),
    ),
    Case(
        "a service with a drop-in",
        inputs(memory=LOW, unit=LIMITED, daemon=Daemon(as_service=True)),
        (WARNING,),
        ("by the service", "LimitMEMLOCK=infinity"),
    ),
    Case(
        "a service in a container that may not raise it",
        inputs(memory=LOW, unit=UNIT, daemon=Daemon(as_service=True)),
        (WARNING,),
        ("by the service", "memlock limit of the container"),
    ),
    Case(
        "the unit's limit, if a command runs in place of the service",
        inputs(memory=LOW, unit=UNIT, daemon=Daemon("not running", "start it")),
        (OK,),
        ("unlimited for the service",),
    ),
    Case(
        "more than there is",
        inputs(memory={**LOW, "memlock_limit_bytes": 200 * GIB}),
        (OK,),
        ("200.0 GiB",),
    ),
    Case("unknown", inputs(memory={**LOW, "memlock_limit_bytes": None}), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_limit_below_the_ram(case: Case) -> None:
    judge(memlock.check, case)
