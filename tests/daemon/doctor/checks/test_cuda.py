"""Builds of CUDA that do not fit the driver or the GPU."""

from dataclasses import replace

import pytest

from config.versions import cuda_since
from daemon.doctor.checks import cuda
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
    Case,
    facts,
    judge,
    name,
)

CUDA = replace(BUILD, backends=("cpu", "cuda"))


def card(made_with: str | None, *, level: str = "13.0", arch: str = "sm_86") -> DoctorInput:
    return facts(
        replace(RTX_3090, arch=arch),
        box={"engines": (CUDA,), "stacks": Stacks(cuda=level)},
        builds={CUDA.path: Build(made_with)},
        cuda_since=cuda_since(),
    )


CASES = [
    Case("no NVIDIA GPU", facts(HALO), ()),
    Case("no engine for CUDA", facts(RTX_3090), (OK,), ("the driver offers CUDA 13.0; no engine here",)),
    Case("the driver does not say", facts(RTX_3090, box={"stacks": Stacks()}), (NOT_KNOWN,)),
    Case("a build of the same major version", card("12", level="12.2"), (OK,)),
    Case(
        "a build for a newer driver",
        card("13", level="12.4"),
        (ERROR,),
        ("made with CUDA 13, the driver offers 12.4", "update the NVIDIA driver"),
    ),
    Case(
        "an older build, a newer GPU",
        card("12.6", arch="sm_120"),
        (ERROR,),
        ("knows no sm_120", "since CUDA 12.8"),
    ),
    Case("an older major version, a newer GPU", card("11", arch="sm_120"), (ERROR,), ("knows no sm_120",)),
    Case("the same major version: it may know it", card("12", arch="sm_120"), (OK,)),
    Case("a newer build", card("12.8", arch="sm_120"), (OK,), ("llama-server made with CUDA 12.8",)),
    Case("a GPU that no table has", card("12.8", arch="sm_500"), (OK,)),
    Case("a build that tells nothing", card(None), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_cuda_that_does_not_fit_is_told(case: Case) -> None:
    judge(cuda.check, case)
