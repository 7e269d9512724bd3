"""How fast a model ran is kept for this box and build, and the next plan here expects it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from config.settings import Settings
from daemon.app import Adapters, App, real_adapters
from daemon.launches.start.watch import Watch
from daemon.machine import snapshot
from daemon.planning import plan
from daemon.planning.speed_history import MAX_RUNS, load_calibration, record_speed, runs, speed_key
from daemon.state.store import Store
from domain.launches.plan import LLAMA_CPP, LaunchOptions, Plan, Range, SpeedSource
from launchers.base import Capabilities
from launchers.command import Command
from launchers.process.engine import EngineProcess
from launchers.readiness import Ready
from planner.machine.calibration import Run
from probes.benchmarks.disk import ReadRate
from tests.daemon.conftest import Running, fork_server

ONE_THREAD = LaunchOptions(threads=1)


def known(found: Range | None) -> float:
    assert found is not None
    return found.expected


async def planned(app: App, model: Path) -> Plan:
    return await plan.plan(app, str(model), ONE_THREAD)


async def test_what_a_launch_measured_is_in_the_next_plan(daemon: Running, smollm2: Path) -> None:
    """Also after a restart of the daemon: it is in the store."""
    async with daemon() as api:
        first = await planned(api.app, smollm2)
        await api.launched(smollm2, name="tiny")
        kept = (await load_calibration(api.app, await snapshot.probe_now(api.app))).runs
    async with daemon() as api:
        second = await planned(api.app, smollm2)
        machine = await snapshot.probe_now(api.app)
        other = replace(api.app.adapters.engine(LLAMA_CPP), version="another build")
        assert await asyncio.to_thread(runs, api.app.store, speed_key(machine, other)) == ()
    assert first.speed.decode_source is SpeedSource.PREDICTED
    assert [one.kind for one in kept] == ["cpu"]
    assert kept[0].decode is not None
    assert second.speed.decode_source is SpeedSource.MEASURED
    assert second.flags == first.flags


async def test_a_measured_speed_is_compared_with_the_rules_and_not_with_the_last_correction(
    daemon: Running, smollm2: Path
) -> None:
    """Else a box would drift: each run would correct what was corrected before."""
    async with daemon() as api:
        first = await planned(api.app, smollm2)
        await api.launched(smollm2, name="tiny")
        local = api.app.launches["tiny"].plan
        assert local is not None
        ready = Ready("", decode_tokens_per_s=0.7 * known(first.speed.decode_tokens_per_s), prompt_tokens=64)
        caps = api.app.adapters.engine(LLAMA_CPP)
        for _ in range(5):
            await record_speed(api.app, local, ready, caps)
        last = await planned(api.app, smollm2)
    assert known(last.speed.decode_tokens_per_s) == pytest.approx(known(ready_rate(ready)), rel=0.1)


@pytest.mark.parametrize(("share", "busy"), [(None, False), (0.05, False), (0.9, True)])
async def test_a_run_beside_other_work_is_stored_as_such(
    daemon: Running, smollm2: Path, share: float | None, busy: bool
) -> None:
    async with daemon() as api:
        local = await planned(api.app, smollm2)
        caps = api.app.adapters.engine(LLAMA_CPP)
        ready = Ready("", decode_tokens_per_s=3.0, prompt_tokens=64)
        await record_speed(api.app, local, ready, caps, stalled_share=share)
        machine = await snapshot.probe_now(api.app)
        stored = await asyncio.to_thread(runs, api.app.store, speed_key(machine, caps))
    assert [run.busy for run in stored] == [busy]


def ready_rate(ready: Ready) -> Range:
    rate = ready.decode_tokens_per_s or 0.0
    return Range(rate, rate, rate)


async def test_a_kept_plan_is_started_again_with_what_was_measured(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        await api.post("/v1/launches/tiny/stop")
        await api.launched(smollm2, name="tiny")
        detail = await api.get("/v1/launches/tiny")
    assert "the plan of the last start" in detail["reused"]
    assert detail["plan"]["speed"]["decode_source"] == "measured"


async def test_a_speed_that_cannot_be_kept_costs_no_launch(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        local = api.app.launches["tiny"].plan
        assert local is not None
        gone = replace(local, weights=replace(local.weights, location=str(smollm2.parent / "gone")))
        caps = api.app.adapters.engine(LLAMA_CPP)
        before = (await load_calibration(api.app, await snapshot.probe_now(api.app))).runs
        await record_speed(api.app, gone, Ready("", 10.0, 10.0, prompt_tokens=8), caps)
        await record_speed(api.app, local, Ready("", 10.0, 10.0), caps)  # of a prompt that nobody counted
        after = (await load_calibration(api.app, await snapshot.probe_now(api.app))).runs
    assert after == before


def test_runs_of_another_shape_count_as_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.measurements.put("speed:a", [{"kind": "cpu"}])
    store.measurements.put("speed:b", (Run("cpu", 1, "a line", "another", 0.9),))
    assert runs(store, "speed:a") == ()
    assert runs(store, "speed:b") == (Run("cpu", 1, "a line", "another", 0.9),)


async def test_only_the_latest_runs_are_kept(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        machine = await snapshot.probe_now(api.app)
        caps: Capabilities = api.app.adapters.engine(LLAMA_CPP)
        key = speed_key(machine, caps)
        many = tuple(Run("cpu", one, "", "", 1.0) for one in range(MAX_RUNS))
        await api.app.store.run(api.app.store.measurements.put, key, many)
        local = api.app.launches["tiny"].plan
        assert local is not None
        await record_speed(api.app, local, Ready("", 10.0, 10.0, prompt_tokens=8), caps)
        kept = await asyncio.to_thread(runs, api.app.store, key)
    assert len(kept) == MAX_RUNS
    assert kept[0].model == 1


@pytest.fixture
def real(settings: Settings) -> Adapters:
    """The engine of this environment, said to be a quarter as fast as it is: what the rules predict is wrong
    then, however busy the machine. The disk is not measured."""
    real = real_adapters(settings, fork_server())

    def slower(command: Command, watch: Watch) -> EngineProcess:
        process = real.new_process(command, watch)
        ensure_ready = process.ensure_ready

        async def quarter(timeout_s: float) -> Ready:
            ready = await ensure_ready(timeout_s)
            decode, prefill = known_rate(ready.decode_tokens_per_s), known_rate(ready.prefill_tokens_per_s)
            return replace(ready, decode_tokens_per_s=decode / 4, prefill_tokens_per_s=prefill / 4)

        vars(process)["ensure_ready"] = quarter
        return process

    return replace(real, new_process=slower, measure_read_rate=lambda: ReadRate(2e9, of_weights=True))


def known_rate(rate: float | None) -> float:
    assert rate is not None
    return rate


async def test_with_the_real_engine_the_second_plan_is_nearer_to_what_was_measured(
    daemon: Running, real: Adapters, smollm2: Path
) -> None:
    async with daemon(real) as api:
        first = await planned(api.app, smollm2)
        await api.launched(smollm2, name="tiny")
        ready = api.app.launches["tiny"].ready
        second = await planned(api.app, smollm2)
    assert ready is not None
    for measured, before, after in (
        (ready.decode_tokens_per_s, first.speed.decode_tokens_per_s, second.speed.decode_tokens_per_s),
        (ready.prefill_tokens_per_s, first.speed.prefill_tokens_per_s, second.speed.prefill_tokens_per_s),
    ):
        assert measured is not None
        print(f"measured {measured:.1f}, first {known(before):.1f}, second {known(after):.1f} tokens/s")
    assert ready.decode_tokens_per_s is not None
    off = [
        abs(known(plan.speed.decode_tokens_per_s) / ready.decode_tokens_per_s - 1) for plan in (first, second)
    ]
    assert off[1] < off[0]
    assert second.speed.decode_source is SpeedSource.MEASURED
