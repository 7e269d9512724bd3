"""Engines that are missing, built for another machine, or without support for the GPU."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import engine
from tests.daemon.doctor.checks.build import (
    BUILD,
    ERROR,
    HEALTHY,
    OK,
    RTX_3090,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)

CASES = [
    Case(
        "one that works",
        HEALTHY,
        (OK,),
        ("llama.cpp b11434 (cpu, vulkan) at /opt/llama.cpp/bin/llama-server",),
    ),
    Case("none", inputs(hardware={"engines": ()}), (ERROR,), ("no engine can be used", "make venv")),
    Case(
        "one for another CPU",
        inputs(
            hardware={
                "engines": (
                    replace(BUILD, problem="built for a CPU with AVX_VNNI, which this one lacks"),
                    BUILD,
                )
            }
        ),
        (WARNING, OK),
        ("built for a CPU with AVX_VNNI", "is not used"),
    ),
    Case(
        "a GPU and no build for it",
        inputs(RTX_3090, hardware={"engines": (replace(BUILD, backends=("cpu", "rpc")),)}),
        (ERROR, OK),
        ("no installed engine supports GPUs of nvidia: they have cpu, rpc", "models run on the CPU"),
    ),
    Case("a GPU and Vulkan", inputs(RTX_3090), (OK,)),
    Case(
        "a build with unknown back ends",
        inputs(RTX_3090, hardware={"engines": (replace(BUILD, backends=()),)}),
        (OK,),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_an_engine_that_cannot_be_used(case: Case) -> None:
    judge(engine.check, case)
