"""The speed of a model over time, its limits, and the causes of a drift."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from config.settings import Settings
from daemon.app import Adapters, build_app
from daemon.launches.health import limits, pace
from daemon.launches.health.monitor import _Monitor
from daemon.launches.health.pace import Drift, Pace
from daemon.launches.launch import Launch
from daemon.state.records import LaunchRequest
from daemon.state.store import Store
from domain.launches.plan import DeviceMemory, LaunchOptions, LlamaFlags, Plan, VllmFlags
from domain.machine.accelerator import GpuProcess, PcieLink
from domain.machine.hardware import Cpu, Gpu, Hardware, Memory
from launchers.process.engine import EngineProcess
from launchers.readiness import Ready
from tests.daemon.state.test_store import PLAN

GIB = 1 << 30
GPU = Gpu("pci:1", "nvidia", "RTX 3090", power_limit_w=350.0, link=PcieLink(width_now=16), tenants=())
MACHINE = Hardware(
    cpu=Cpu(throttled_count=3), memory=Memory(swap_total_bytes=8 * GIB, swap_free_bytes=8 * GIB), gpus=(GPU,)
)


def with_gpu(**values: Any) -> Hardware:
    return replace(MACHINE, gpus=(replace(GPU, **values),))


def test_a_pace_is_an_average_that_slow_runs_do_not_lower() -> None:
    known = Pace(30.0)
    assert known.with_measured(36.0) == Pace(33.0, 2)
    assert known.with_measured(20.0) == Pace(25.0, 2)
    assert known.with_measured(19.9) is known
    assert Pace(30.0, 20).with_measured(50.0) == Pace(31.0, 20), "it forgets what is long ago"


def test_a_drift_is_told_after_ten_minutes_and_ends_once_it_is_fast_again() -> None:
    known = Pace(30.0)
    drift = pace.after_measured(Drift(), known, 20.0, 0.0)
    assert drift == Drift()
    drift = pace.after_measured(drift, known, 19.0, 100.0)
    assert drift == Drift(100.0, told=False)
    assert pace.after_measured(drift, known, 19.0, 699.0) == Drift(100.0, told=False)
    told = pace.after_measured(drift, known, 19.0, 700.0)
    assert told == Drift(100.0, told=True)
    assert pace.after_measured(told, known, 23.9, 800.0) == told, "not at the first that is a little faster"
    assert pace.after_measured(told, known, 24.0, 800.0) == Drift()
    assert pace.after_measured(drift, known, 20.0, 800.0) == Drift()


def test_an_engine_is_broken_only_where_nothing_else_explains_it() -> None:
    assert pace.is_broken(30.0, 5.9, None)
    assert not pace.is_broken(30.0, 6.0, None)
    assert not pace.is_broken(30.0, 1.0, "heat")
    assert not pace.is_broken(None, 1.0, None)
    assert not pace.is_broken(30.0, None, None)


@pytest.mark.parametrize(
    ("now", "stalled", "cause"),
    [
        pytest.param(MACHINE, None, None, id="nothing has changed"),
        pytest.param(MACHINE, 0.3, None, id="a little waiting"),
        pytest.param(
            MACHINE, 0.34, "other processes: tasks wait for a CPU 34 % of the time", id="a busy CPU"
        ),
        pytest.param(
            with_gpu(throttled_by=("heat",), temperature_c=84.0),
            None,
            "RTX 3090 is held down by heat (84 °C)",
            id="the driver says so",
        ),
        pytest.param(
            with_gpu(temperature_margin_c=5.0), None, "heat: RTX 3090 is at its limit", id="at its limit"
        ),
        pytest.param(with_gpu(temperature_margin_c=5.1), None, None, id="below its limit"),
        pytest.param(
            with_gpu(power_limit_w=200.0),
            None,
            "the power limit of RTX 3090 is 200 W, was 350 W",
            id="a power cap",
        ),
        pytest.param(
            with_gpu(link=PcieLink(width_now=4)),
            None,
            "the PCIe link of RTX 3090 has 4 lanes, had 16",
            id="a link",
        ),
        pytest.param(
            with_gpu(tenants=(GpuProcess(9, "comfyui"), GpuProcess(8))),
            None,
            "another process uses RTX 3090: comfyui, pid 8",
            id="tenants",
        ),
        pytest.param(
            replace(MACHINE, cpu=Cpu(throttled_count=4, temperature_c=100.0)),
            None,
            "heat: the CPU was throttled (100 °C)",
            id="the CPU is hot",
        ),
        pytest.param(
            replace(MACHINE, memory=Memory(swap_total_bytes=8 * GIB, swap_free_bytes=7 * GIB)),
            None,
            "swap: 1.0 GiB more are swapped out",
            id="swap",
        ),
    ],
)
def test_the_likely_cause(now: Hardware, stalled: float | None, cause: str | None) -> None:
    assert pace.likely_cause(MACHINE, now, stalled) == cause


def test_a_cause_is_not_guessed_without_probes() -> None:
    assert pace.likely_cause(MACHINE, None, 0.9) is None
    assert pace.likely_cause(None, with_gpu(power_limit_w=200.0), None) is None
    assert pace.likely_cause(None, with_gpu(throttled_by=("power",)), None) == (
        "RTX 3090 is held down by power"
    )
    assert pace.likely_cause(Hardware(), with_gpu(link=PcieLink(width_now=4), tenants=None), None) is None
    assert pace.likely_cause(with_gpu(link=None, tenants=None, power_limit_w=None), MACHINE, None) is None
    old = (GpuProcess(9, "comfyui"),)
    assert pace.likely_cause(with_gpu(tenants=old), with_gpu(tenants=old), None) is None


def test_a_drift_in_words() -> None:
    assert pace.in_words(Pace(30.0), 18.0, None) == (
        "18.0 tokens/s, 40 % less than its own 30; no cause is known"
    )
    assert pace.in_words(Pace(30.0), 18.0, "heat").endswith("; likely cause: heat")


class Given:
    health_interval_s, health_stall_s, health_canary_s = 10.0, 10.0, 30.0


def limits_of(plan: Plan | None, prefill: float | None = 512.0) -> limits.Limits:
    ready = None if prefill is None else Ready("Paris", 20.0, prefill)
    return limits.limits(Given(), plan, ready)  # type: ignore[arg-type]


def test_the_limits_follow_from_the_settings_and_the_plan() -> None:
    on_host = replace(PLAN, memory=(DeviceMemory("host", 7, 0, 0),), flags=LlamaFlags(batch=1024))
    assert limits_of(on_host) == limits.Limits(10, 2.5, 10, 30, 300, 900, batch_s=2.0)
    row = DeviceMemory("GPU0", 7, 0, 0)
    on_gpu = replace(PLAN, memory=(row,), flags=LlamaFlags(mmproj="mmproj.gguf"))
    assert limits_of(on_gpu) == limits.Limits(
        10, 2.5, 10, 30, 300, 900, batch_s=4.0, on_gpu=True, has_projector=True
    )
    assert not limits_of(replace(PLAN, memory=(replace(row, weights_bytes=0),))).on_gpu
    assert limits_of(replace(PLAN, flags=VllmFlags(max_num_batched_tokens=512))).batch_s == 1.0
    assert limits_of(replace(PLAN, flags=VllmFlags())).batch_s == 4.0


def test_limits_without_a_plan_or_a_speed() -> None:
    assert limits_of(None) == limits.Limits(10, 2.5, 10, 30, 300, 900, on_gpu=True)
    assert limits_of(PLAN, prefill=None).batch_s is None
    assert limits.limits(Given(), PLAN, Ready("Paris")).batch_s is None  # type: ignore[arg-type]


def test_a_canary_may_take_several_times_what_it_took_at_the_start() -> None:
    assert limits.CanaryTime(2.0, 64.0).limit_s(4) == 8 + 5 * (1 + 2)
    assert limits.CanaryTime(None, 64.0).limit_s(64) == 8 + 5 * (1 + 1), "of an embedding model"
    assert limits.CanaryTime(2.0, None).limit_s(4) == 60


@pytest.mark.parametrize(
    ("now", "is_broken"),
    [
        pytest.param(MACHINE, True, id="nothing else changed"),
        pytest.param(with_gpu(tenants=(GpuProcess(7, "game"),)), False, id="a game began"),
    ],
)
async def test_an_engine_is_not_blamed_for_what_began_since_the_last_probe(
    settings: Settings, adapters: Adapters, now: Hardware, is_broken: bool
) -> None:
    settings.state_dir.mkdir(parents=True)
    store = await asyncio.to_thread(Store, settings.state_dir / "state.db")
    try:
        app = await asyncio.to_thread(build_app, settings, store, replace(adapters, probe=lambda: now))
        app.hardware_cache.hardware = MACHINE
        launch = Launch(LaunchRequest("tiny", "/m/tiny.gguf", LaunchOptions()), plan=PLAN)
        launch.ready = Ready("blue", decode_tokens_per_s=30.0)
        asked: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        asked.set_result(Ready("blue", decode_tokens_per_s=3.0))
        monitor = _Monitor(app, launch, cast("EngineProcess", None))
        judged = await monitor._judge(cast("asyncio.Task[Ready]", asked), None)
        assert (judged is not None and judged.cause == "slow") is is_broken
    finally:
        await asyncio.to_thread(store.close)
