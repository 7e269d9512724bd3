"""CUDA builds that do not match the driver or the GPU."""

from dataclasses import replace

import pytest

from config.versions import cuda_since
from daemon.doctor.checks import cuda
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import Stacks
from launchers.gpu_targets import Build
from tests.daemon.doctor.checks.build import (
    BUILD,
    ERROR,
    HALO,
    NOT_KNOWN,
    OK,
    RTX_3090,
    Case,
    case_id,
    inputs,
    judge,
)

CUDA = replace(BUILD, backends=("cpu", "cuda"))


def card(built_with: str | None, *, level: str = "13.0", arch: str = "sm_86") -> DoctorInput:
    return inputs(
        replace(RTX_3090, arch=arch),
        hardware={"engines": (CUDA,), "stacks": Stacks(cuda=level)},
        builds={CUDA.path: Build(built_with)},
        cuda_since=cuda_since(),
    )


CASES = [
    Case("no NVIDIA GPU", inputs(HALO), ()),
    Case(
        "no engine for CUDA", inputs(RTX_3090), (OK,), ("the driver supports CUDA 13.0; no installed engine",)
    ),
    Case(
        "the driver's CUDA version is unknown", inputs(RTX_3090, hardware={"stacks": Stacks()}), (NOT_KNOWN,)
    ),
    Case("a build of the same major version", card("12", level="12.2"), (OK,)),
    Case(
        "a build for a newer driver",
        card("13", level="12.4"),
        (ERROR,),
        ("built with CUDA 13, the driver supports only 12.4", "update the NVIDIA driver"),
    ),
    Case(
        "an older build, a newer GPU",
        card("12.6", arch="sm_120"),
        (ERROR,),
        ("does not support sm_120", "needs CUDA 12.8"),
    ),
    Case(
        "an older major version, a newer GPU",
        card("11", arch="sm_120"),
        (ERROR,),
        ("does not support sm_120",),
    ),
    Case("the same major version: it may support it", card("12", arch="sm_120"), (OK,)),
    Case("a newer build", card("12.8", arch="sm_120"), (OK,), ("llama-server was built with CUDA 12.8",)),
    Case("a GPU that no table has", card("12.8", arch="sm_500"), (OK,)),
    Case("a build without a known version", card(None), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_cuda_that_does_not_match(case: Case) -> None:
    judge(cuda.check, case)
