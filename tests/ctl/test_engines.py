"""node-ctl engines: the builds that are here, as their owner reads them."""

import json
from pathlib import Path

import pytest

from ctl.commands.engines import build_lines
from domain.launches.engine_build import EngineBuild, EngineDevice, Origin
from domain.units import GIB
from tests.ctl.conftest import Ctl

CARD = EngineDevice("CUDA0", "NVIDIA GeForce RTX 3090", 24 * GIB, 20 * GIB)


def test_a_build_with_all_that_is_known_of_it() -> None:
    build = EngineBuild(
        *("llama.cpp", "/opt/llama/llama-server", "b11434", Origin.SETTINGS, ("cpu", "cuda"), (CARD,)),
        instructions=("AVX2", "FMA"),
        architectures=("llama", "qwen3"),
        is_default=True,
        used_by=("one", "two"),
    )
    assert list(build_lines(build)) == [
        "llama.cpp b11434, named in the settings, the default",
        "  path    /opt/llama/llama-server",
        "  backend cpu, cuda",
        "  device  CUDA0 NVIDIA GeForce RTX 3090, 24.0 GiB",
        "  CPU     compiled for AVX2, FMA",
        "  models  2 architectures; --json lists them",
        "  serves  one, two",
    ]


def test_a_build_that_does_not_answer_says_why() -> None:
    build = EngineBuild("llama.cpp", "/x", None, Origin.SEARCH_PATH, problem="it hangs")
    assert list(build_lines(build)) == [
        "llama.cpp of an unknown version, found on the PATH",
        "  path    /x",
        "  problem it hangs",
    ]


@pytest.mark.engine
def test_builds_of_this_machine_are_listed_with_the_one_that_serves(owner: Ctl, tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "llama-server"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    owner.env["PATH"] = f"{broken.parent}:{owner.env['PATH']}"
    builds = [row for row in json.loads(owner("engines", "--json").stdout) if row["engine"] == "llama.cpp"]
    assert next(build["path"] for build in builds if build["origin"] == "PATH") == str(broken)
    assert builds[0]["problem"]
    [default] = [build for build in builds if build["is_default"]]
    assert (default["origin"], default["problem"], default["used_by"]) == ("included", None, [])
    assert "qwen35" in default["architectures"]
    shown = owner("engines", "--architecture", "qwen35").stdout
    assert "compiled for" in shown
    nobody = owner("engines", "--architecture", "qwen35next", "--json")
    assert all(build["architectures"] is None for build in json.loads(nobody.stdout))
