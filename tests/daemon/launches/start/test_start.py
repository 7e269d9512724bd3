"""Starts: ports, pids and plans are those that are written down, and a ready line says what is proved."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from config import data
from config.settings import Settings
from daemon.app import App
from daemon.launches.start import engine
from daemon.launches.start.answer_check import expected
from daemon.launches.start.placement import changes
from daemon.planning.plan import fingerprint
from daemon.state.store import Store
from domain.launches.plan import DeviceMemory, LaunchOptions, Plan
from domain.machine.hardware import Hardware, Memory
from domain.units import GIB, MIB
from launchers.base import Capabilities
from launchers.command import Command
from tests.daemon.conftest import FakeLauncher, Running
from tests.daemon.killed import served_by_a_killed_daemon
from tests.daemon.state.test_store import PLAN

ONCE = """
import os, pathlib, sys, time
flag = pathlib.Path(sys.argv[1])
if not flag.exists():
    flag.touch()
    time.sleep(0.5)
    sys.exit(1)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@dataclass
class DiesOnce(FakeLauncher):
    """Ends without a word the first time it is started."""

    flag: str = ""

    def command(self, plan: Plan, *, caps: Capabilities, port: int, name: str) -> Command:
        made = super().command(plan, caps=caps, port=port, name=name)
        argv = (made.argv[0], "-c", ONCE, self.flag, *made.argv[1:])
        return replace(made, argv=argv, writes=(str(Path(self.flag).parent),))


@pytest.fixture
def launcher(request: pytest.FixtureRequest, tmp_path: Path) -> FakeLauncher:
    return DiesOnce(flag=str(tmp_path / "flag")) if "second_pid" in request.node.name else FakeLauncher()


async def test_the_second_pid_of_a_start_is_written_down(
    daemon: Running, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchers.process.engine.QUICK_S", 600)  # quick is what a busy machine makes of it
    async with daemon() as api:
        row = await api.launched(smollm2, name="tiny")
        (run,) = await api.app.store.run(api.app.store.runs.unfinished)
    assert run.identity is not None
    assert run.identity.pid == row["pid"]


async def test_an_engine_whose_other_pid_was_written_down_is_found(
    settings: Settings, daemon: Running, smollm2: Path
) -> None:
    before = await asyncio.to_thread(served_by_a_killed_daemon, settings, smollm2)
    store = await asyncio.to_thread(Store, settings.state_dir / "state.db")
    await asyncio.to_thread(write_down_another_pid, store)
    async with daemon() as api:
        after = await api.row("tiny", lambda row: bool(row["state"] == "ready"))
    assert after["pid"] == before["pid"]


def write_down_another_pid(store: Store) -> None:
    with store.database.writing() as db:
        db.execute("UPDATE runs SET pid = 4194305, start_ticks = 1")


async def test_launches_at_once_have_ports_of_their_own(
    daemon: Running, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is written down before all have chosen theirs."""
    names = ("a", "b", "c")
    chosen, begin_run = asyncio.Barrier(len(names)), engine._begin_run

    async def late(app: App, name: str, command: Command, *, engine_version: str | None) -> int | None:
        await chosen.wait()
        return await begin_run(app, name, command, engine_version=engine_version)

    async with daemon() as api:
        monkeypatch.setattr(engine, "_begin_run", late)
        await asyncio.gather(*(api.launch(smollm2, name=name, context_tokens=512) for name in names))
        for name in names:
            assert (await api.progress(name))[-1]["step"] == "ready"
        rows = await api.get("/v1/launches")
    assert len({row["endpoint"] for row in rows}) == len(names)
    assert [row["restarts"] for row in rows] == [0, 0, 0]


def catalogue_of(model: Path, parameters: int) -> str:
    quants = "quants = [{ repo = 'o/r', quant = 'Q4_1', size_bytes = 98362432 }]"
    return (
        f"[ours]\ntitle = 'Ours'\narchitecture = 'llama'\nparameters = {parameters}\n"
        f"gguf_repos = ['{model.parent}']\n{quants}\n"
    )


@pytest.mark.parametrize(
    ("parameters", "answer", "step"),
    [
        pytest.param(None, "Lyon it is.", "ready", id="a model that nobody knows may say anything"),
        pytest.param(135_000_000, "Lyon it is.", "ready", id="a small one may miss it"),
        pytest.param(8_000_000_000, "Lyon it is.", "failed", id="a large one must know it"),
        pytest.param(8_000_000_000, "Paris.", "ready", id="a large one knows it"),
    ],
)
async def test_the_known_word_is_demanded_where_it_must_be_known(
    settings: Settings,
    daemon: Running,
    smollm2: Path,
    launcher: FakeLauncher,
    tmp_path: Path,
    parameters: int | None,
    answer: str,
    step: str,
) -> None:
    if parameters is not None:
        file = tmp_path / "catalog.toml"
        await asyncio.to_thread(file.write_text, catalogue_of(smollm2, parameters))
        object.__setattr__(settings, "catalogue", file)
    launcher.args = ("--answer", answer)
    async with daemon() as api:
        last = (await api.progress(await api.launch(smollm2, name="tiny")))[-1]
    assert last["step"] == step
    if step == "ready":
        assert ("not proved" in last["message"]) == ("Paris" not in answer)


def test_repositories_of_the_catalogue_are_asked_for_the_word() -> None:
    catalogue = data.catalogue()
    large = replace(PLAN, weights=replace(PLAN.weights, repo=catalogue["qwen3-8b"].gguf_repos[0]))
    assert expected(catalogue, large) == "Paris"
    assert expected(catalogue, PLAN) is None


def test_a_kernel_that_keeps_some_more_ram_changes_no_plan() -> None:
    def of(total_bytes: int) -> str:
        machine = Hardware(memory=Memory(total_bytes=total_bytes))
        return fingerprint(machine, "llama.cpp", "b1", "/x", LaunchOptions())

    assert of(31 * GIB + 100 * MIB) == of(31 * GIB + 90 * MIB)
    assert of(31 * GIB) != of(15 * GIB)


async def test_a_desired_launch_that_comes_back_smaller_is_told(
    settings: Settings, daemon: Running, smollm2: Path
) -> None:
    async with daemon() as api:
        row = await api.launched(smollm2, name="tiny", context_tokens=1024)
        told = await api.app.store.run(api.app.store.launches.get, "tiny")
    assert told is not None
    assert told.plan is not None
    old = replace(told, plan=replace(told.plan, context_tokens=8192), fingerprint="of another engine")
    store = await asyncio.to_thread(Store, settings.state_dir / "state.db")
    await store.run(store.launches.save, replace(old, desired=True))
    async with daemon() as api:
        assert (await api.progress("tiny"))[-1]["step"] == "ready"
        events = (await api.http.get("/v1/events")).text
    assert row["context_tokens"] == 1024
    assert '"kind": "replanned"' in events
    assert "context 1024 (was 8192)" in events


def test_what_changed_is_said_and_nothing_else() -> None:
    assert changes(PLAN, replace(PLAN, reasons=("x",))) == ""
    on_gpu = replace(PLAN, memory=(DeviceMemory("GPU0", 1, 0, 0, 0, 1),))
    assert changes(PLAN, on_gpu) == "devices GPU0 (was host)"
