"""Units that hide a GPU from the engines."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import sandbox
from daemon.doctor.checks.input import Daemon
from domain.machine.hardware import Problem, ProblemKind
from probes.system.setup import DeviceNode, System
from probes.system.systemd import Unit
from tests.daemon.doctor.checks.build import (
    ERROR,
    HALO,
    HEALTHY,
    NOT_KNOWN,
    OK,
    RTX_3090,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)

UNIT = Unit("node-daemon.service", "active", device_policy="auto", memlock_unlimited=True)

CASES = [
    Case("no GPU to hide", HEALTHY, ()),
    Case("as it ships", inputs(HALO, unit=UNIT), (OK,)),
    Case(
        "KFD fails with EPERM",
        inputs(
            HALO,
            hardware={
                "problems": (
                    Problem("kfd", "KFD node 1 may not be read", "DeviceAllow=char-kfd", ProblemKind.HIDDEN),
                )
            },
        ),
        (ERROR,),
        (
            "KFD node 1 may not be read",
            "in a container, start it with the GPU's devices",
            "DeviceAllow=char-kfd",
        ),
    ),
    Case(
        "one of two cards was given to the container",
        inputs(
            RTX_3090,
            hardware={"problems": (Problem("nvidia", "04:00.0 is not reported", "", ProblemKind.HIDDEN),)},
        ),
        (WARNING,),
        ("models use the other GPUs only",),
    ),
    Case(
        "a card without its node",
        inputs(hardware={"problems": (Problem("amd", "no renderD*", "pass it", ProblemKind.NO_NODE),)}),
        (ERROR,),
        ("no renderD*", "pass it"),
    ),
    Case(
        "a drop-in that allows clocks and thereby nothing else",
        inputs(RTX_3090, unit=replace(UNIT, device_allow=("char-rtc r",))),
        (ERROR,),
        ("allows char-rtc, but not char-nvidia, char-nvidia-uvm", "DeviceAllow=char-nvidia-uvm"),
    ),
    Case(
        "a drop-in that allows enough",
        inputs(HALO, unit=replace(UNIT, device_policy="closed", device_allow=("char-kfd rw", "char-drm rw"))),
        (OK,),
    ),
    Case(
        "a policy without any device",
        inputs(HALO, unit=replace(UNIT, device_policy="closed")),
        (ERROR,),
        ("allows no devices; engines need char-kfd, char-drm",),
    ),
    Case(
        "private devices",
        inputs(HALO, unit=replace(UNIT, private_devices=True)),
        (ERROR,),
        ("PrivateDevices=no",),
    ),
    Case(
        "CUDA's device node was never created",
        inputs(RTX_3090, unit=UNIT, system=System(nodes=(DeviceNode("/dev/nvidiactl", 0, 0o666),))),
        (ERROR,),
        ("/dev/nvidia-uvm does not exist", "nvidia-modprobe -u"),
    ),
    Case("no unit: started by hand, or in a container", inputs(HALO), (OK,)),
    Case("systemd does not answer", inputs(HALO, daemon=Daemon(as_service=True)), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_hidden_gpu(case: Case) -> None:
    judge(sandbox.check, case)
