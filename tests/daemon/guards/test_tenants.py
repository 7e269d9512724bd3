"""Other programs on a GPU: told by name, yielded to, and waited for."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.guards.tenants import HOLDER, TenantsGuard
from daemon.launches.launch import Launch
from domain.launches.launch import LaunchState
from domain.launches.plan import DeviceMemory
from domain.launches.serving import Serving, TenantPolicy
from domain.machine.accelerator import GpuProcess
from domain.machine.hardware import Gpu, Hardware
from domain.machine.sample import Sample
from domain.units import GIB
from tests.conftest import ROOT
from tests.daemon.launches.stepped_daemon import Daemon, Start
from tests.daemon.launches.world import World
from tests.rigs import nvml
from tests.rigs.trees import plant_machine

COMFY = GpuProcess(4242, "python3 ComfyUI/main.py", 6 * GIB)
Serve = Callable[[str | None], tuple[Daemon, Launch, TenantsGuard]]


@pytest.fixture
def serve(start: Start) -> Serve:
    def run(policy: str | None) -> tuple[Daemon, Launch, TenantsGuard]:
        daemon = start()
        launch = daemon.serve()
        assert launch.plan is not None
        launch.plan = replace(launch.plan, memory=(DeviceMemory("GPU0", GIB, 0, 0, needed_bytes=16 * GIB),))
        launch.gpu_ids = ("pci:1",)
        if policy is not None:
            launch.serving = Serving(tenants=TenantPolicy(policy))
        return daemon, launch, TenantsGuard(daemon.app)

    return run


def sample(at_s: float, free_bytes: int, *tenants: GpuProcess) -> Sample:
    card = Gpu("pci:1", "nvidia", "RTX 3090", memory_total_bytes=24 * GIB)
    gpu = replace(card, memory_free_bytes=free_bytes, tenants=tenants)
    return Sample(at_s, at_s, Hardware(gpus=(gpu,)))


def test_a_model_yields_to_a_program_that_asks_for_memory_and_comes_back(serve: Serve, world: World) -> None:
    daemon, launch, guard = serve("yield")
    daemon.call(guard.on_sample(sample(0, 8 * GIB)))
    daemon.call(guard.on_sample(sample(5, 2 * GIB, COMFY)))
    assert launch.orders.holds == {}, "there is room for both"
    daemon.call(guard.on_sample(sample(10, GIB // 2, COMFY)))
    daemon.until(lambda: world.living == [] and launch.state is LaunchState.QUEUED)
    assert launch.row().waiting == "python3 ComfyUI/main.py to leave RTX 3090"
    daemon.call(guard.on_sample(sample(15, 16 * GIB, COMFY)))
    assert HOLDER in launch.orders.holds, "it has not left"
    for at_s in (20, 34):
        daemon.call(guard.on_sample(sample(at_s, 23 * GIB)))
    assert HOLDER in launch.orders.holds, "it may load its next model"
    daemon.call(guard.on_sample(sample(35, 23 * GIB)))
    daemon.until_state(LaunchState.READY)
    told = [(one.kind, one.message) for one in daemon.events if one.kind.startswith(("tenant", "yield"))]
    assert told == [
        ("tenant_came", "python3 ComfyUI/main.py (pid 4242) uses 6.0 GiB of RTX 3090"),
        ("yielded", "a yields: it waits for python3 ComfyUI/main.py to leave RTX 3090"),
        ("tenant_left", "python3 ComfyUI/main.py (pid 4242) has left RTX 3090"),
    ]


@pytest.mark.parametrize(("policy", "told"), [(None, True), ("wait", True), ("ignore", False)])
def test_a_model_that_does_not_yield_stays(serve: Serve, policy: str | None, told: bool) -> None:
    daemon, launch, guard = serve(policy)
    for at_s, tenants in ((0, ()), (5, (COMFY,)), (10, (COMFY,))):
        daemon.call(guard.on_sample(sample(at_s, GIB // 2, *tenants)))
    assert launch.orders.holds == {}
    assert ("tenant_came" in daemon.kinds()) is told


def test_a_launch_that_waits_for_memory_tries_again_when_a_program_leaves(serve: Serve, world: World) -> None:
    daemon, launch, guard = serve("wait")
    world.starts = "die"
    daemon.kill_engine()
    daemon.until_state(LaunchState.FAILED)
    assert not launch.orders.retry
    daemon.call(guard.on_sample(sample(0, GIB, COMFY)))
    assert not launch.orders.retry
    daemon.call(guard.on_sample(sample(5, 23 * GIB)))
    assert launch.orders.retry or launch.state is not LaunchState.FAILED


SAMPLES = """
import json, pathlib, sys
from probes import sample
from probes.context import ProbeState
from domain.serialization import to_json
root, answers = map(pathlib.Path, sys.argv[1:3])
for text in json.loads(sys.argv[3]):
    answers.write_text(text)
    gpus = sample.probe(root=root, models_dir=root, known_gpus=(), state=ProbeState()).hardware.gpus
    print(json.dumps([to_json(gpu.tenants) for gpu in gpus]))
"""


def test_samples_tell_the_programs_on_a_card_by_its_driver(tmp_path: Path) -> None:
    """The answers are those of a recorded machine with two cards; a program comes and goes between two."""
    root, answers = plant_machine(tmp_path / "root", "dual-3090"), tmp_path / "answers"
    alone = nvml.profile("dual-3090", {"1.compute_procs": None})
    texts = [alone, nvml.profile("dual-3090"), alone]
    environment = {**os.environ, **nvml.environment(nvml.build(tmp_path), answers)}
    argv = [sys.executable, "-c", SAMPLES, str(root), str(answers), json.dumps(texts)]
    done = subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    held = [[one["memory_bytes"] for one in json.loads(line)[1]] for line in done.stdout.splitlines()]
    assert held == [[], [5580 * 1024**2], []]
