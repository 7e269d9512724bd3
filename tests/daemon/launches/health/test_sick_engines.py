"""Engines that run and do not serve are found, ended and started again; those that are only busy are not."""

import asyncio
import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals
from typing import Any

import httpx
import pytest

from config.settings import Settings
from daemon.app import Adapters, real_adapters
from daemon.launches.health import limits, monitor
from launchers.liveness import Look
from launchers.process.engine import EngineProcess
from launchers.registry import LAUNCHERS
from tests.daemon.conftest import Api, FakeLauncher, Running, fake_adapters, fork_server
from tests.daemon.launches.plans import plan_always


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Seconds, not minutes; fewer, and a busy machine would make engines sick. They read ``rules``."""
    (tmp_path / "rules").mkdir()
    monkeypatch.setattr(limits, "LEAST_CANARY_S", 1.0)
    quick: dict[str, object] = {"health_interval_s": 0.2, "health_stall_s": 2.5, "health_canary_s": 0.0}
    quick["engine_folders"] = f"{settings.engine_folders}:{tmp_path / 'rules'}"
    return settings.model_copy(update=quick)


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    return tmp_path / "rules" / "queue"


@pytest.fixture
def launcher(queue: Path, tmp_path: Path) -> FakeLauncher:
    return FakeLauncher(args=("--queue", str(queue), "--answer-file", str(tmp_path / "rules" / "answer")))


@pytest.fixture(autouse=True)
def anything_is_planned(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "smollm2" not in request.fixturenames:
        plan_always(monkeypatch)


async def event(api: Api, kind: str) -> dict[str, Any]:
    """The next event of that kind, from the first on."""
    async with asyncio.timeout(120), api.http.stream("GET", "/v1/events?follow=true") as answer:
        async for line in answer.aiter_lines():
            if line and (found := httpx.Response(200, content=line).json())["kind"] == kind:
                return dict(found)
    raise AssertionError("the daemon ended")


async def served_again(api: Api, name: str, pid: int) -> dict[str, Any]:
    return await api.row(name, lambda row: row["state"] == "ready" and row["pid"] not in (pid, None))


async def test_an_idle_engine_that_is_stopped_is_found_and_started_again(daemon: Running) -> None:
    async with daemon() as api:
        row = await api.launched("/m/tiny.gguf")
        os.kill(row["pid"], Signals.SIGSTOP)
        told = await event(api, "unhealthy")
        assert "hangs: its processes are stopped" in told["message"]
        again = await served_again(api, row["name"], row["pid"])
        assert again["restarts"] == 1
        assert "it hangs" in (await event(api, "died"))["message"]


@dataclass
class Looks:
    """The clock of health counts looks, ``step_s`` apart: a machine that is busy ages no engine."""

    step_s: float
    made: int = 0

    def now_s(self) -> float:
        return self.made * self.step_s

    async def more(self, count: int) -> None:
        until = self.made + count
        async with asyncio.timeout(120):
            while self.made < until:  # noqa: ASYNC110 - a count
                await asyncio.sleep(0.01)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Looks:
    """Ten of them without a sign of life are what it takes to be hung."""
    clock = Looks(settings.health_stall_s / 10)
    look = EngineProcess.look

    async def counted(process: EngineProcess) -> Look:
        seen = await look(process)
        clock.made += 1
        return seen

    monkeypatch.setattr(EngineProcess, "look", counted)
    monkeypatch.setattr(monitor, "clock_s", clock.now_s)
    return clock


async def test_one_that_goes_on_in_time_is_left_alone(daemon: Running, looks: Looks) -> None:
    async with daemon() as api:
        row = await api.launched("/m/tiny.gguf")
        os.kill(row["pid"], Signals.SIGSTOP)
        await looks.more(3)
        os.kill(row["pid"], Signals.SIGCONT)
        await looks.more(30)
        assert (await api.row(row["name"], lambda _: True))["pid"] == row["pid"]


async def test_one_that_answers_health_checks_and_completes_nothing_is_found_under_load(
    daemon: Running, queue: Path
) -> None:
    async with daemon() as api:
        row = await api.launched("/m/tiny.gguf")
        await asyncio.to_thread(queue.write_text, "stuck")
        assert "no token came" in (await event(api, "unhealthy"))["message"]
        await asyncio.to_thread(queue.unlink)
        await served_again(api, row["name"], row["pid"])


async def test_a_busy_one_is_left_alone_as_long_as_tokens_move(
    daemon: Running, queue: Path, looks: Looks
) -> None:
    async with daemon() as api:
        row = await api.launched("/m/tiny.gguf")
        await asyncio.to_thread(queue.write_text, "")
        await looks.more(40)
        assert (await api.row(row["name"], lambda _: True))["pid"] == row["pid"]
        await asyncio.to_thread(queue.unlink)


@pytest.fixture
def with_canaries(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER", 2.0)
    object.__setattr__(settings, "health_canary_s", 0.3)


async def test_an_idle_one_that_completes_nothing_is_found_by_its_canary(
    with_canaries: None, daemon: Running, tmp_path: Path, queue: Path, launcher: FakeLauncher
) -> None:
    mute = tmp_path / "rules" / "mute"
    launcher.args = (*launcher.args, "--mute-when", str(mute))
    async with daemon() as api:
        row = await api.launched("/m/tiny.gguf")
        await asyncio.to_thread(mute.touch)
        assert (await event(api, "unhealthy"))["kind"] == "unhealthy"
        await asyncio.to_thread(mute.unlink)
        await served_again(api, row["name"], row["pid"])


async def test_an_idle_one_that_answers_garbage_is_found_by_its_canary(
    with_canaries: None, daemon: Running, tmp_path: Path
) -> None:
    answer = tmp_path / "rules" / "answer"
    async with daemon() as api:
        row = await api.launched("/m/tiny.gguf")
        await asyncio.to_thread(answer.write_text, "))))")
        assert "it repeats ')'" in (await event(api, "unhealthy"))["message"]
        await asyncio.to_thread(answer.unlink)
        await served_again(api, row["name"], row["pid"])


@pytest.fixture
def real(settings: Settings) -> Adapters:
    """With the real llama-server."""
    found = real_adapters(settings, fork_server())
    fakes = fake_adapters(settings, FakeLauncher())
    return replace(fakes, launchers=LAUNCHERS, engines=found.engines, engine=found.engine)


async def generate(url: str, tokens: int) -> None:
    """The engine may end in the middle."""
    body = {"prompt": "Once", "n_predict": tokens, "ignore_eos": True}
    with contextlib.suppress(httpx.HTTPError):
        async with httpx.AsyncClient(trust_env=False, timeout=120) as http:
            await http.post(f"{url}/completion", json=body)


@pytest.mark.engine
async def test_a_real_engine_that_is_stopped_under_load_is_found_and_one_that_generates_is_left_alone(
    daemon: Running, real: Adapters, smollm2: Path, settings: Settings
) -> None:
    async with daemon(real) as api:
        row = await api.launched(smollm2, name="tiny", context_tokens=8192)
        async with asyncio.TaskGroup() as clients:
            asked = clients.create_task(generate(row["endpoint"], 8000))
            await asyncio.sleep(3 * settings.health_stall_s)
            assert not asked.done(), "it generates for longer"
            assert (await api.row("tiny", lambda _: True))["pid"] == row["pid"]
            os.kill(row["pid"], Signals.SIGSTOP)
            assert "processes are stopped" in (await event(api, "unhealthy"))["message"]
            assert (await served_again(api, "tiny", row["pid"]))["restarts"] == 1
