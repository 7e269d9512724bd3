"""Builds of ROCm that have no code for the GPU."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import rocm
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import Stacks
from launchers.gpu_targets import Build
from tests.daemon.doctor.checks.build import (
    BUILD,
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

HIP = replace(BUILD, backends=("cpu", "rocm"))


def halo(*targets: str) -> DoctorInput:
    return inputs(HALO, hardware={"engines": (HIP,)}, builds={HIP.path: Build(hip_targets=targets)})


CASES = [
    Case("no AMD GPU", inputs(RTX_3090), ()),
    Case("no engine for ROCm", inputs(HALO), (OK,), ("no ROCm; no installed engine uses it",)),
    Case(
        "ROCm, and no engine for it",
        inputs(HALO, hardware={"stacks": Stacks(rocm="7.1.0")}),
        (OK,),
        ("ROCm 7.1.0",),
    ),
    Case("a build for this GPU", halo("gfx1100", "gfx1151"), (OK,), ("has code for gfx1151",)),
    Case(
        "a build for others",
        halo("gfx1100", "gfx1101"),
        (ERROR,),
        ("has code for gfx1100, gfx1101, and none for this GPU (gfx1151)", "invalid device function"),
    ),
    Case("a build with unknown targets", halo(), (NOT_KNOWN,)),
    Case(
        "a variable that changes the architecture of all GPUs",
        replace(halo("gfx1151"), gfx_override="11.0.0"),
        (WARNING, OK),
        ("HSA_OVERRIDE_GFX_VERSION=11.0.0", "HSA_OVERRIDE_GFX_VERSION_0"),
    ),
    Case("nothing at all", HEALTHY, ()),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_build_without_code_for_the_gpu(case: Case) -> None:
    judge(rocm.check, case)
