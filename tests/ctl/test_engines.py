"""node-ctl engines: the builds that are here, as their owner reads them."""

import json
from pathlib import Path

import pytest

from ctl.commands.engines import build_lines, check_lines
from domain.launches.engine_build import EngineBuild, EngineDevice, EngineProof, Origin
from domain.serialization import to_json
from domain.units import GIB
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import Answer, FakeDaemon

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


PROVED = EngineProof(
    *("/opt/llama-server", "b11434", "2026-12-01T03:12:00+00:00", "tiny"),
    answer="The capital of France is Paris, a city on the Seine.",
    load_s=0.41,
    decode_tokens_per_s=91.2,
)
FAILED = EngineProof(
    *("/x", None, "2026-12-01T03:12:00+00:00", "tiny"),
    error="it ends with SIGILL",
    hint="use another",
)


def test_a_proof_is_what_was_answered_or_why_not() -> None:
    assert list(check_lines(PROVED)) == [
        "/opt/llama-server  b11434",
        f'  proved  answers "{PROVED.answer[:40]}...", 91 tokens/s, loaded in 0.4 s, with tiny',
    ]
    assert list(check_lines(FAILED)) == [
        "/x  of an unknown version",
        "  failed  it ends with SIGILL, with tiny",
        "  hint    use another",
    ]


def test_a_check_asks_for_what_was_named_and_fails_if_a_build_does(ctl: Ctl, daemon: FakeDaemon) -> None:
    lines = tuple(json.dumps(to_json(proof)) for proof in (PROVED, FAILED))
    daemon.on("POST /v1/engines/check", Answer(lines=lines))
    done = ctl("engines", "check", "/opt/llama-server", "--model", "tiny", "--json")
    assert [row["error"] for row in json.loads(done.stdout)] == [None, "it ends with SIGILL"]
    assert done.returncode == 6
    (asked,) = [one for one in daemon.asked if one.method == "POST"]
    assert asked.body == {"path": "/opt/llama-server", "model": "tiny"}
    daemon.on("POST /v1/engines/check", Answer(lines=lines[:1]))
    assert ctl("engines", "check").returncode == 0


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
