"""A plan in the engine's own figures: asked once, remembered, read back; never waited for in vain."""

import asyncio
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.request import ModelRequest
from config.settings import Settings
from daemon.app import Adapters, real_adapters
from daemon.isolation.models import ModelSources
from domain.errors import EngineError
from domain.launches.plan import LlamaFlags
from domain.machine.hardware import Hardware, Memory
from domain.models.model import ResolvedModel, Weights
from domain.units import MIB, gib
from launchers import llama_cpp
from launchers.base import Capabilities
from launchers.llama_cpp import dry_run
from launchers.llama_cpp.dry_run import DeviceUsage, DryRunReport
from tests.daemon.conftest import Running, fork_server, known_bandwidth

CONTEXT = 8192  # what the model was trained for, and what a plan takes without a wish


class Judge:
    """An engine that takes ``more_bytes`` than the rules say, with caches of the types ``of``."""

    def __init__(self) -> None:
        self.asked: list[LlamaFlags] = []
        self.more_bytes = 0
        self.of: tuple[str, ...] = ("f16", "q8_0")

    def __call__(self, flags: LlamaFlags, caps: Capabilities, replica: Path) -> DryRunReport:
        self.asked.append(flags)
        row_bytes = {"f16": 128, "q8_0": 68}[flags.cache_type_k]
        cache_bytes = (flags.context_tokens or 0) * 30 * 2 * 3 * row_bytes  # layers, K and V, heads
        more = self.more_bytes if flags.cache_type_k in self.of else 0
        return DryRunReport("llama-server", (DeviceUsage("Host", 92 * MIB, cache_bytes, 22 * MIB + more),))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"host_reserve_bytes": 0})


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def adapters(adapters: Adapters, judge: Judge) -> Adapters:
    return replace(adapters, ask_memory=judge)


def box(available_mib: int) -> Hardware:
    size_bytes = available_mib * MIB
    return Hardware(memory=Memory(total_bytes=size_bytes, available_bytes=size_bytes))


async def test_the_engine_is_asked_once_for_a_command_line(
    daemon: Running, judge: Judge, smollm2: Path
) -> None:
    async with daemon() as api:
        first = (await api.post("/v1/plan", model=str(smollm2))).json()
        again = (await api.post("/v1/plan", model=str(smollm2), context_tokens=CONTEXT)).json()
    async with daemon() as api:  # what was asked outlives the daemon
        later = (await api.post("/v1/plan", model=str(smollm2))).json()
    assert len(judge.asked) == 1
    assert [plan["confidence"] for plan in (first, again, later)] == ["engine-checked"] * 3
    checked = "weights, KV cache and buffers, checked by a dry run of engine_server.py fake: host "
    assert first["reasons"][-1].startswith(checked)
    assert "as estimated" in first["reasons"][-1]


async def test_the_engines_figures_take_the_place_of_the_rules(
    daemon: Running, judge: Judge, smollm2: Path
) -> None:
    async with daemon() as api:
        plain = (await api.post("/v1/plan", model=str(smollm2), on={"cpu": {}, "memory": {}})).json()
        judge.more_bytes = 100 * MIB
        plan = (await api.post("/v1/plan", model=str(smollm2))).json()
    assert plain["confidence"] == "estimated"  # another box: its engine can't be asked
    (host,) = plan["memory"]
    assert host["compute_bytes"] == pytest.approx(122 * MIB, abs=MIB)
    parts = ("weights_bytes", "kv_cache_bytes", "compute_bytes", "overhead_bytes")
    assert host["needed_bytes"] == sum(host[part] for part in parts)
    in_all = f"33.7 % more than estimated; needed in all: host {gib(host['needed_bytes'])}"
    assert plan["reasons"][-1].endswith(in_all)


async def test_what_does_not_fit_by_the_engines_figures_is_planned_again(
    daemon: Running, adapters: Adapters, judge: Judge, smollm2: Path
) -> None:
    judge.more_bytes, judge.of = 400 * MIB, ("f16",)
    async with daemon(replace(adapters, probe=lambda: box(700))) as api:
        plan = (await api.post("/v1/plan", model=str(smollm2))).json()
    assert [flags.cache_type_k for flags in judge.asked] == ["f16", "q8_0"]
    assert plan["kv_cache_type"] == "q8_0"
    assert plan["fits"]
    assert plan["confidence"] == "engine-checked"
    assert plan["memory"][0]["free_bytes"] == 700 * MIB
    assert "planned again" in plan["reasons"][-1]
    assert "399 MiB more on host" in plan["reasons"][-1]  # of 22.4 MiB by the rules it says 22


async def test_what_fits_by_the_rules_alone_is_refused(
    daemon: Running, adapters: Adapters, judge: Judge, smollm2: Path
) -> None:
    judge.more_bytes = 600 * MIB
    async with daemon(replace(adapters, probe=lambda: box(700))) as api:
        refused = await api.post("/v1/plan", model=str(smollm2))
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "does_not_fit"


def odd_build(folder: Path, text: str) -> Capabilities:
    path = folder / "llama-server"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return replace(
        llama_cpp.assume(), path=str(path), version="odd", flags=llama_cpp.assume().flags | {"-lv"}
    )


@pytest.mark.parametrize("text", ["import time; time.sleep(60)", "print('nothing that is known')"])
async def test_a_plan_stands_where_the_engine_does_not_tell(
    text: str, daemon: Running, adapters: Adapters, smollm2: Path, tmp_path: Path
) -> None:
    caps = odd_build(tmp_path, text)
    asked = []

    def ask(flags: LlamaFlags, caps: Capabilities, replica: Path) -> DryRunReport:
        asked.append(flags)
        return dry_run.run(flags, caps, replica, timeout_s=1.0)

    async with daemon(replace(adapters, engine=lambda name: caps, ask_memory=ask)) as api:
        plan = (await api.post("/v1/plan", model=str(smollm2))).json()
        again = (await api.post("/v1/plan", model=str(smollm2))).json()
    assert len(asked) == 1, "it was waited for a second time"
    for one in (plan, again):
        assert one["confidence"] == "estimated"
        assert one["fits"]
        assert "not checked by the engine" in one["reasons"][-1]
        assert "printed no memory table" in one["reasons"][-1]


async def test_what_was_learnt_of_one_context_corrects_another_that_can_not_be_asked(
    daemon: Running, adapters: Adapters, judge: Judge, smollm2: Path
) -> None:
    judge.more_bytes = 100 * MIB

    def once(flags: LlamaFlags, caps: Capabilities, replica: Path) -> DryRunReport:
        if judge.asked:
            raise EngineError("it is gone")
        return judge(flags, caps, replica)

    async with daemon(replace(adapters, ask_memory=once)) as api:
        await api.post("/v1/plan", model=str(smollm2))
        plan = (await api.post("/v1/plan", model=str(smollm2), context_tokens=4096)).json()
    assert plan["confidence"] == "estimated"
    assert "corrected by its figures for another command line" in plan["reasons"][-1]
    assert plan["memory"][0]["compute_bytes"] > 100 * MIB


async def test_a_start_does_not_wait_for_the_dry_runs_of_plans(
    daemon: Running, adapters: Adapters, judge: Judge, smollm2: Path
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow(flags: LlamaFlags, caps: Capabilities, replica: Path) -> DryRunReport:
        if flags.context_tokens == 4096:
            asked.set()
            go_on.wait()
        return judge(flags, caps, replica)

    took = (DeviceUsage("Host", 92 * MIB, 1 * MIB, 22 * MIB),)
    slow_adapters = replace(adapters, ask_memory=slow, read_memory=lambda head: took)
    async with daemon(slow_adapters) as api:
        try:
            planning = asyncio.create_task(api.post("/v1/plan", model=str(smollm2), context_tokens=4096))
            await asyncio.to_thread(asked.wait)
            row = await api.launched(smollm2, context_tokens=CONTEXT)
            assert not planning.done()
        finally:
            go_on.set()
        plan = (await planning).json()
    assert row["state"] == "ready"
    assert plan["confidence"] == "engine-checked"


async def test_a_shape_from_the_catalogue_is_not_put_before_the_engine(
    daemon: Running, adapters: Adapters, judge: Judge, smollm2: Path
) -> None:
    async def guessed(sources: ModelSources, request: ModelRequest) -> tuple[ResolvedModel, ...]:
        return tuple(replace(model, exact=False) for model in await adapters.resolve(sources, request))

    async with daemon(replace(adapters, resolve=guessed)) as api:
        plan = (await api.post("/v1/plan", model=str(smollm2))).json()
    assert plan["confidence"] == "estimated"
    assert "planned from the catalogue, without the file's header" in plan["reasons"][-1]
    assert judge.asked == []


async def test_a_plan_stands_where_no_replica_can_be_written(
    daemon: Running, judge: Judge, smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    async with daemon() as api:
        plan = (await api.post("/v1/plan", model=str(smollm2))).json()
    assert plan["confidence"] == "estimated"
    assert "the model file for its dry run can't be written: No such file or directory" in plan["reasons"][-1]
    assert judge.asked == []


@pytest.mark.engine
async def test_a_real_launch_is_checked_before_and_measured_after(
    daemon: Running, settings: Settings, smollm2: Path
) -> None:
    real = replace(real_adapters(settings, fork_server()), measure_bandwidth=known_bandwidth)
    asked: list[Weights] = []

    async def replica(weights: Weights, folder: Path) -> Path:
        asked.append(weights)
        return await real.write_replica(weights, folder)

    async with daemon(replace(real, write_replica=replica)) as api:
        before = (await api.post("/v1/plan", model=str(smollm2), threads=1)).json()
        row = await api.launched(smollm2, context_tokens=CONTEXT)
        after = (await api.post("/v1/plan", model=str(smollm2), threads=1)).json()
        details = await api.get(f"/v1/launches/{row['name']}")
    print(before["reasons"][-1], "|", after["reasons"][-1])
    assert before["confidence"] == "engine-checked"
    assert details["plan"]["confidence"] == "measured"
    assert after["confidence"] == "measured"
    assert "measured when llama-server" in after["reasons"][-1]
    assert len(asked) == 1
    (said,), (took,) = before["memory"], after["memory"]
    assert took["kv_cache_bytes"] == pytest.approx(said["kv_cache_bytes"], rel=0.01)
    assert took["compute_bytes"] == pytest.approx(said["compute_bytes"], rel=0.05, abs=2 * MIB)
