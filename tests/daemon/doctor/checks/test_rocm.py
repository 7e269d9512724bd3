"""Builds of ROCm that have no code for the GPU."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import rocm
from daemon.doctor.checks.input import DoctorInput
from domain.hardware import Stacks
from launchers.gpu_targets import Build
from tests.daemon.doctor.checks.build import (
    BUILD,
    ERROR,
    HALO,
    NOT_KNOWN,
    OK,
    RTX_3090,
    WARNING,
    WELL,
    Case,
    facts,
    judge,
    name,
)

HIP = replace(BUILD, backends=("cpu", "rocm"))


def halo(*targets: str) -> DoctorInput:
    return facts(HALO, box={"engines": (HIP,)}, builds={HIP.path: Build(hip_targets=targets)})


CASES = [
    Case("no AMD GPU", facts(RTX_3090), ()),
    Case("no engine for ROCm", facts(HALO), (OK,), ("no ROCm; no engine here was built for it",)),
    Case(
        "ROCm, and no engine for it",
        facts(HALO, box={"stacks": Stacks(rocm="7.1.0")}),
        (OK,),
        ("ROCm 7.1.0",),
    ),
    Case("a build for this GPU", halo("gfx1100", "gfx1151"), (OK,), ("has code for gfx1151",)),
    Case(
        "a build for others",
        halo("gfx1100", "gfx1101"),
        (ERROR,),
        ("has code for gfx1100, gfx1101; this GPU is gfx1151", "invalid device function"),
    ),
    Case("a build that tells nothing", halo(), (NOT_KNOWN,)),
    Case(
        "a variable that makes all GPUs another one",
        replace(halo("gfx1151"), gfx_override="11.0.0"),
        (WARNING, OK),
        ("HSA_OVERRIDE_GFX_VERSION=11.0.0", "HSA_OVERRIDE_GFX_VERSION_0"),
    ),
    Case("nothing at all", WELL, ()),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_build_without_code_for_the_gpu_is_told(case: Case) -> None:
    judge(rocm.check, case)
