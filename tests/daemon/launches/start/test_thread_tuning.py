"""Threads are tried once with the real engine process, and remembered for this build, model and CPU."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.app import Adapters
from daemon.events.progress_log import ProgressLog
from daemon.launches.start.thread_tuning import choose_count, cpu_matters, with_threads
from daemon.planning.speed_history import cpu_key, load_calibration, threads_key
from domain.launches.launch import Progress, Step
from domain.launches.plan import DeviceMemory, LlamaFlags
from domain.machine.hardware import Cpu, Hardware
from launchers.base import Capabilities
from tests.daemon.conftest import Running
from tests.daemon.state.test_store import PLAN

TWO_CPUS = Cpu(model="a CPU", usable_cpus=2)


@pytest.fixture
def adapters(adapters: Adapters) -> Adapters:
    """A machine of two CPUs, however many this one has."""
    real = adapters.probe
    return replace(adapters, probe=lambda: replace(real(), cpu=TWO_CPUS))


async def test_threads_are_measured_once_and_the_planner_hears_of_it(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/launches", model=str(smollm2), name="tiny")
        assert answer.status_code == 202
        first = [step["step"] for step in await api.progress("tiny")]
        detail = await api.get("/v1/launches/tiny")
        best = detail["plan"]["flags"]["threads"]
        known = await load_calibration(api.app, Hardware(cpu=TWO_CPUS))
        await api.post("/v1/launches/tiny/stop", forget=True)
        await api.post("/v1/launches", model=str(smollm2), name="tiny")
        second = [step["step"] for step in await api.progress("tiny")]
        detail = await api.get("/v1/launches/tiny")
    assert "tune" in first
    assert best in (1, 2)
    assert known.threads == best
    assert "tune" not in second
    assert detail["plan"]["flags"]["threads"] == best
    assert "the measured thread count" in detail["reused"]


async def test_a_stop_while_threads_are_tried_leaves_nothing(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.post("/v1/launches", model=str(smollm2), name="tiny")
        async with asyncio.timeout(120):
            steps = [line.step async for line in until_tune(api.app.launches["tiny"].progress)]
        assert steps[-1] == "tune"
        row = (await api.post("/v1/launches/tiny/stop")).json()
        assert row["state"] == "stopped"
        assert api.app.ledger.reserved == {}


async def until_tune(track: ProgressLog) -> AsyncIterator[Progress]:
    async for line in track.follow():
        yield line
        if line.step is Step.TUNE:
            return


def test_noise_moves_no_thread_count() -> None:
    assert choose_count({1: 90.0, 2: 86.0}, 2) == 2
    assert choose_count({1: 142.0, 2: 17.0}, 2) == 1
    assert choose_count({7: 30.0, 8: 29.0}, None) == 7
    assert choose_count({7: 30.0}, 8) == 7, "the planned one was never tried"


def test_a_model_on_gpus_alone_needs_no_trial() -> None:
    on_gpu = (DeviceMemory("GPU0", 90, 0, 0), DeviceMemory("host", 10, 0, 0))
    half = (DeviceMemory("GPU0", 50, 0, 0), DeviceMemory("host", 50, 0, 0))
    assert not cpu_matters(replace(PLAN, memory=on_gpu))
    assert cpu_matters(replace(PLAN, memory=half))


def test_fewer_threads_than_planned_count_for_prompts_too() -> None:
    flags = LlamaFlags(threads=8, threads_batch=16)
    assert with_threads(PLAN, flags, 7).flags == LlamaFlags(threads=7, threads_batch=7)
    assert with_threads(PLAN, flags, 8).flags == LlamaFlags(threads=8, threads_batch=16)


def test_another_build_model_or_cpu_is_measured_anew() -> None:
    caps = Capabilities("llama.cpp", "/x", "b1")
    base = threads_key(PLAN, caps, TWO_CPUS)
    assert threads_key(PLAN, replace(caps, version="b2"), TWO_CPUS) != base
    assert threads_key(replace(PLAN, weights=replace(PLAN.weights, quant="Q8_0")), caps, TWO_CPUS) != base
    assert threads_key(PLAN, caps, replace(TWO_CPUS, quota_cpus=1.5)) != base
    assert cpu_key(TWO_CPUS) != cpu_key(replace(TWO_CPUS, usable_cpus=4))
