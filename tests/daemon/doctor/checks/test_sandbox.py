"""Units that hide a GPU from what they start."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import sandbox
from daemon.doctor.checks.input import Daemon
from domain.hardware import Problem, ProblemKind
from probes.system.setup import DeviceNode, System
from probes.system.systemd import Unit
from tests.daemon.doctor.checks.build import (
    ERROR,
    HALO,
    NOT_KNOWN,
    OK,
    RTX_3090,
    WELL,
    Case,
    facts,
    judge,
    name,
)

UNIT = Unit("node-daemon.service", "active", device_policy="auto", memlock_unlimited=True)

CASES = [
    Case("no GPU to hide", WELL, ()),
    Case("as it ships", facts(HALO, unit=UNIT), (OK,)),
    Case(
        "KFD answers EPERM",
        facts(
            HALO,
            box={
                "problems": (
                    Problem("kfd", "KFD app 1 may not be read", "DeviceAllow=char-kfd", ProblemKind.HIDDEN),
                )
            },
        ),
        (ERROR,),
        (
            "KFD app 1 may not be read",
            "in a container, start it with the GPU's devices",
            "DeviceAllow=char-kfd",
        ),
    ),
    Case(
        "a drop-in lets clocks through and thereby nothing else",
        facts(RTX_3090, unit=replace(UNIT, device_allow=("char-rtc r",))),
        (ERROR,),
        ("lets through char-rtc, not char-nvidia, char-nvidia-uvm", "DeviceAllow=char-nvidia-uvm"),
    ),
    Case(
        "a drop-in that lets enough through",
        facts(HALO, unit=replace(UNIT, device_policy="closed", device_allow=("char-kfd rw", "char-drm rw"))),
        (OK,),
    ),
    Case(
        "a policy without any device",
        facts(HALO, unit=replace(UNIT, device_policy="closed")),
        (ERROR,),
        ("lets through nothing, not char-kfd, char-drm",),
    ),
    Case(
        "private devices",
        facts(HALO, unit=replace(UNIT, private_devices=True)),
        (ERROR,),
        ("PrivateDevices=no",),
    ),
    Case(
        "the device of CUDA was never made",
        facts(RTX_3090, unit=UNIT, system=System(nodes=(DeviceNode("/dev/nvidiactl", 0, 0o666),))),
        (ERROR,),
        ("/dev/nvidia-uvm is not there", "nvidia-modprobe -u"),
    ),
    Case("no unit: started by hand, or in a container", facts(HALO), (OK,)),
    Case("systemd can't be asked", facts(HALO, daemon=Daemon(as_service=True)), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_hidden_gpu_is_told(case: Case) -> None:
    judge(sandbox.check, case)
