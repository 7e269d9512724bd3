"""Engines of thread trials: written down like others, found by a later daemon, no reason to fail."""

import asyncio
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from config.settings import Settings
from daemon.app import Adapters
from daemon.state.store import Store
from domain.launches.plan import Plan
from domain.machine.hardware import Cpu
from launchers.base import Capabilities
from launchers.command import Command
from launchers.process import procfs
from tests.daemon.conftest import FAKE, Api, FakeLauncher, Running, alive


@dataclass
class DiesInTrials(FakeLauncher):
    def command(self, plan: Plan, *, caps: Capabilities, port: int, name: str) -> Command:
        made = super().command(plan, caps=caps, port=port, name=name)
        return replace(made, argv=(*made.argv, "--die", "1")) if name.endswith("-tune") else made


@pytest.fixture
def adapters(adapters: Adapters) -> Adapters:
    """A machine of two CPUs, however many this one has."""
    real = adapters.probe
    return replace(adapters, probe=lambda: replace(real(), cpu=Cpu(model="a CPU", usable_cpus=2)))


async def trial(api: Api, smollm2: Path) -> int:
    """The pid of a trial's engine, as soon as it is written down."""
    await api.post("/v1/launches", model=str(smollm2), name="tiny")
    async with asyncio.timeout(120):
        while True:
            runs = await api.app.store.run(api.app.store.runs.unfinished)
            if runs and runs[0].identity is not None:
                return runs[0].identity.pid
            await asyncio.sleep(0.02)


async def test_a_trials_engine_is_written_down_while_it_runs(
    daemon: Running, smollm2: Path, launcher: FakeLauncher
) -> None:
    launcher.args = ("--slow", "60")
    async with daemon() as api:
        pid = await trial(api, smollm2)
        assert alive(pid)
        plan = api.post("/v1/plan", model=str(smollm2))
        answer = await plan
        assert answer.status_code == 200, "a question is answered while threads are tried"
        await api.post("/v1/launches/tiny/stop")
        assert await api.app.store.run(api.app.store.runs.unfinished) == ()
        assert await api.app.store.run(api.app.store.runs.last_port, "tiny") is None
    assert not alive(pid)


async def test_a_trial_that_outlived_its_daemon_is_ended(settings: Settings, daemon: Running) -> None:
    argv = (sys.executable, str(FAKE), "--port", str(settings.port_last), "--alias", "tiny-tune")
    with subprocess.Popen(argv, start_new_session=True) as engine:  # noqa: ASYNC220 - it starts at once
        identity = await asyncio.to_thread(procfs.identity, engine.pid)
        assert identity is not None
        await asyncio.to_thread(settings.state_dir.mkdir, parents=True)
        store = await asyncio.to_thread(Store, settings.state_dir / "state.db")
        command = Command(argv, settings.port_last, "tiny-tune")
        for launch in ("tiny:tune", "forgotten"):
            run_id = await store.run(
                store.runs.begin, launch, command, port=command.port, engine_version=None
            )
            await store.run(store.runs.identify, run_id, identity)
        try:
            async with daemon() as api, asyncio.timeout(120):
                while api.app.launches or await store.run(store.runs.unfinished):  # noqa: ASYNC110 - it is polled
                    await asyncio.sleep(0.02)
                assert not alive(engine.pid)
        finally:
            engine.kill()


async def test_a_trial_that_fails_leaves_the_planned_threads(
    daemon: Running, smollm2: Path, adapters: Adapters
) -> None:
    object.__setattr__(adapters, "launchers", {"llama.cpp": DiesInTrials()})
    async with daemon() as api:
        planned = (await api.post("/v1/plan", model=str(smollm2))).json()
        await api.post("/v1/launches", model=str(smollm2), name="tiny")
        steps = await api.progress("tiny")
        detail = await api.get("/v1/launches/tiny")
    assert steps[-1]["step"] == "ready"
    assert any("the trial failed" in step["message"] for step in steps)
    assert detail["plan"]["flags"]["threads"] == planned["flags"]["threads"]
