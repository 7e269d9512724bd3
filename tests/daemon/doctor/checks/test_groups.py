"""Users who may not open the device nodes of a GPU."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import groups
from daemon.doctor.checks.input import Daemon
from domain.machine.hardware import Problem, ProblemKind
from probes.system.setup import DeviceNode, System
from probes.system.systemd import Unit
from tests.daemon.doctor.checks.build import (
    ERROR,
    HALO,
    HEALTHY,
    OK,
    OWNER,
    RENDER,
    SERVICE,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)

KFD = DeviceNode("/dev/kfd", RENDER, 0o660)
NODES = (KFD, DeviceNode("/dev/dri/renderD128", RENDER, 0o660))
OPEN = System(nodes=NODES)
CLOSED = System(nodes=tuple(replace(node, may_open=False) for node in NODES))
UNIT = Unit("node-daemon.service", "active", user="node-daemon")

CASES = [
    Case("no device nodes", HEALTHY, ()),
    Case(
        "all may be opened",
        inputs(HALO, system=OPEN),
        (OK,),
        ("node-daemon may open /dev/kfd, /dev/dri/renderD128",),
    ),
    Case(
        "the service's user is in no group",
        inputs(HALO, system=CLOSED, runs_as=replace(SERVICE, groups=frozenset({990})), unit=UNIT),
        (ERROR,),
        (
            "node-daemon may not open /dev/kfd, /dev/dri/renderD128",
            "sudo usermod -aG render node-daemon",
            "systemctl",
        ),
    ),
    Case(
        "it is now, but was started before",
        inputs(HALO, system=CLOSED, daemon=Daemon(as_service=True)),
        (ERROR,),
        ("is in render, but this process was started before that", "sudo systemctl restart node-daemon"),
    ),
    Case(
        "a user's own daemon",
        inputs(HALO, system=CLOSED, runs_as=OWNER, caller=OWNER),
        (ERROR,),
        ("sudo usermod -aG render ada, then log in again",),
    ),
    Case(
        "the caller is in no group",
        inputs(HALO, system=OPEN, caller=OWNER),
        (WARNING,),
        ("you (ada) may not open", "the service is not affected"),
    ),
    Case(
        "the user at the machine has access by an access control list",
        inputs(HALO, system=System(nodes=(replace(KFD, has_acl=True),)), caller=OWNER),
        (OK,),
    ),
    Case(
        "a command in place of a service that does not answer",
        inputs(
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
        "everyone may open it",
        inputs(system=System(nodes=(DeviceNode("/dev/nvidia0", 0, 0o666),)), caller=OWNER),
        (OK,),
    ),
    Case(
        "a driver refuses although the nodes are accessible",
        inputs(
            hardware={
                "problems": (
                    Problem("nvidia", "the GPU can't be opened", "let this user in", ProblemKind.CLOSED),
                )
            }
        ),
        (ERROR,),
        ("the GPU can't be opened", "let this user in"),
    ),
    Case(
        "a user who may not, in place of the service, which may",
        inputs(
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
        "a user without an account, as in a container",
        inputs(HALO, system=CLOSED, runs_as=None, caller=None),
        (ERROR,),
        ("this user may not open /dev/kfd",),
    ),
    Case("root needs no group", inputs(HALO, system=OPEN, caller=replace(OWNER, uid=0)), (OK,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_users_who_may_not_open_a_gpu(case: Case) -> None:
    judge(groups.check, case)
