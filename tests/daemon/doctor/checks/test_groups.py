"""Users who may not open the device files of a GPU."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import groups
from daemon.doctor.checks.input import Daemon
from domain.hardware import Problem, ProblemKind
from probes.system.setup import DeviceNode, System
from probes.system.systemd import Unit
from tests.daemon.doctor.checks.build import (
    ERROR,
    HALO,
    OK,
    OWNER,
    RENDER,
    SERVICE,
    WARNING,
    WELL,
    Case,
    facts,
    judge,
    name,
)

KFD = DeviceNode("/dev/kfd", RENDER, 0o660)
NODES = (KFD, DeviceNode("/dev/dri/renderD128", RENDER, 0o660))
OPEN = System(nodes=NODES)
CLOSED = System(nodes=tuple(replace(app, may_open=False) for app in NODES))
UNIT = Unit("node-daemon.service", "active", user="node-daemon")

CASES = [
    Case("no device files", WELL, ()),
    Case(
        "all may be opened",
        facts(HALO, system=OPEN),
        (OK,),
        ("node-daemon may open /dev/kfd, /dev/dri/renderD128",),
    ),
    Case(
        "the service's user is in no group",
        facts(HALO, system=CLOSED, runs_as=replace(SERVICE, groups=frozenset({990})), unit=UNIT),
        (ERROR,),
        (
            "node-daemon may not open /dev/kfd, /dev/dri/renderD128",
            "sudo usermod -aG render node-daemon",
            "systemctl",
        ),
    ),
    Case(
        "it is by now, and began before",
        facts(HALO, system=CLOSED, daemon=Daemon(as_service=True)),
        (ERROR,),
        ("is in render by now", "sudo systemctl restart node-daemon"),
    ),
    Case(
        "a user's own daemon",
        facts(HALO, system=CLOSED, runs_as=OWNER, caller=OWNER),
        (ERROR,),
        ("sudo usermod -aG render ada, then log in again",),
    ),
    Case(
        "the one who asks is in no group",
        facts(HALO, system=OPEN, caller=OWNER),
        (WARNING,),
        ("you (ada) may not open", "the service is not affected"),
    ),
    Case(
        "the one at the screen has it by an access list",
        facts(HALO, system=System(nodes=(replace(KFD, has_acl=True),)), caller=OWNER),
        (OK,),
    ),
    Case(
        "a command looks for the service that does not answer",
        facts(
            HALO,
            system=OPEN,
            runs_as=replace(OWNER, groups=frozenset({RENDER})),
            caller=replace(OWNER, groups=frozenset({RENDER})),
            unit=UNIT,
            unit_user=replace(SERVICE, groups=frozenset({990})),
        ),
        (ERROR,),
        ("the service's user node-daemon may not open", "restart node-daemon"),
    ),
    Case(
        "everyone may",
        facts(system=System(nodes=(DeviceNode("/dev/nvidia0", 0, 0o666),)), caller=OWNER),
        (OK,),
    ),
    Case(
        "a driver refuses what looks open",
        facts(
            box={
                "problems": (
                    Problem("nvidia", "the GPU can't be opened", "let this user in", ProblemKind.CLOSED),
                )
            }
        ),
        (ERROR,),
        ("the GPU can't be opened", "let this user in"),
    ),
    Case(
        "one who may not looks in place of the service, who may",
        facts(
            HALO,
            system=CLOSED,
            runs_as=OWNER,
            caller=OWNER,
            unit=UNIT,
            unit_user=SERVICE,
            daemon=Daemon("not running", "start it"),
        ),
        (WARNING,),
        ("you (ada) may not open", "the service is not affected"),
    ),
    Case(
        "a user that no file names, as in a container",
        facts(HALO, system=CLOSED, runs_as=None, caller=None),
        (ERROR,),
        ("this user may not open /dev/kfd",),
    ),
    Case("root needs no group", facts(HALO, system=OPEN, caller=replace(OWNER, uid=0)), (OK,)),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_who_may_not_open_a_gpu_is_told(case: Case) -> None:
    judge(groups.check, case)
