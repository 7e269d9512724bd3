"""Limits of what may be locked in RAM: of whoever runs the engines."""

from typing import Any

import pytest

from daemon.doctor.checks import memlock
from daemon.doctor.checks.input import Daemon
from domain.units import GIB, MIB
from probes.system.systemd import Unit
from tests.daemon.doctor.checks.build import NOT_KNOWN, OK, WARNING, WELL, Case, facts, judge, name

LITTLE: dict[str, Any] = {"memlock_unlimited": False, "memlock_limit_bytes": 8 * MIB}
UNIT = Unit("node-daemon.service", "inactive", memlock_unlimited=True)

BOUND = Unit("node-daemon.service", "active", memlock_bytes=8 * MIB)

CASES = [
    Case("unlimited", WELL, (OK,), ("unlimited for this user",)),
    Case(
        "a user's limit",
        facts(memory=LITTLE),
        (WARNING,),
        ("8 MiB of 120.0 GiB RAM may be locked by this user", "service install"),
    ),
    Case(
        "a service with a drop-in",
        facts(memory=LITTLE, unit=BOUND, daemon=Daemon(as_service=True)),
        (WARNING,),
        ("by the service", "LimitMEMLOCK=infinity"),
    ),
    Case(
        "a service in a container that may not raise it",
        facts(memory=LITTLE, unit=UNIT, daemon=Daemon(as_service=True)),
        (WARNING,),
        ("by the service", "memlock of the container"),
    ),
    Case(
        "the unit's limit counts where a command looks in its place",
        facts(memory=LITTLE, unit=UNIT, daemon=Daemon("not running", "start it")),
        (OK,),
        ("unlimited for the service",),
    ),
    Case(
        "more than there is",
        facts(memory={**LITTLE, "memlock_limit_bytes": 200 * GIB}),
        (OK,),
        ("200.0 GiB",),
    ),
    Case("not told", facts(memory={**LITTLE, "memlock_limit_bytes": None}), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_limit_below_the_ram_is_told(case: Case) -> None:
    judge(memlock.check, case)
