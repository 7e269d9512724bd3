"""Engines that are missing, are made for another machine, or can use no GPU here."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import engine
from tests.daemon.doctor.checks.build import (
    BUILD,
    ERROR,
    OK,
    RTX_3090,
    WARNING,
    WELL,
    Case,
    facts,
    judge,
    name,
)

CASES = [
    Case(
        "one that works", WELL, (OK,), ("llama.cpp b11434 (cpu, vulkan) at /opt/llama.cpp/bin/llama-server",)
    ),
    Case("none", facts(box={"engines": ()}), (ERROR,), ("no engine can be used", "make setup")),
    Case(
        "one for another CPU",
        facts(
            box={
                "engines": (
                    replace(BUILD, problem="built for a CPU with AVX_VNNI, which this one lacks"),
                    BUILD,
                )
            }
        ),
        (WARNING, OK),
        ("built for a CPU with AVX_VNNI", "passed over"),
    ),
    Case(
        "a GPU and no build for it",
        facts(RTX_3090, box={"engines": (replace(BUILD, backends=("cpu", "rpc")),)}),
        (ERROR, OK),
        ("no engine here can use a GPU of nvidia: they have cpu, rpc", "models run on the CPU"),
    ),
    Case("a GPU and Vulkan", facts(RTX_3090), (OK,)),
    Case(
        "a build that does not say what it has",
        facts(RTX_3090, box={"engines": (replace(BUILD, backends=()),)}),
        (OK,),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_an_engine_that_cannot_serve_here_is_told(case: Case) -> None:
    judge(engine.check, case)
