"""A daemon in this process, over its real socket, with an engine that starts in a tenth of a second."""

import asyncio
import atexit
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.loading import load
from config.settings import Settings
from daemon.app import IN_WORKERS, Adapters, App, real_adapters
from daemon.isolation.fork_server import ForkServer
from daemon.main import running
from daemon.systemd_notify import SystemdNotifier
from domain.errors import EngineError
from domain.launches.plan import LLAMA_CPP, VLLM, EngineFlags, Plan
from domain.machine.hardware import InstalledEngine
from launchers import llama_cpp, vllm
from launchers.base import Capabilities
from launchers.command import Command, Exit, StopPolicy
from probes.benchmarks.disk import ReadRate
from probes.runtimes.probe import Runtimes
from tests.rigs import lent_ports

FAKE = Path(__file__).parent.parent / "fakes" / "engine_server.py"


def alive(pid: int) -> bool:
    """An orphan that has ended may wait for an init that reaps late, or never, as those of containers do."""
    try:
        fields = Path("/proc", str(pid), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields.rpartition(")")[2].split()[0] not in "ZX"


@dataclass
class FakeLauncher:
    """llama.cpp's launcher, but for the program that is started. ``args`` make that one misbehave."""

    args: tuple[str, ...] = ()
    grace_s: float = 1.0

    def command(self, plan: Plan, *, caps: Capabilities, port: int, name: str) -> Command:
        argv = (sys.executable, str(FAKE), "--port", str(port), "--alias", name, *self.args)
        writes = tuple(str(Path(word).parent) for before, word in pairwise(self.args) if "--write" in before)
        return Command(argv, port, name, stop=StopPolicy(grace_s=self.grace_s), writes=writes)

    def inspect(self, path: str, *, cache_dir: Path | None = None) -> Capabilities:
        return Capabilities(LLAMA_CPP, path, version="fake")

    def find(self, places: object) -> tuple[InstalledEngine, ...]:
        return (InstalledEngine(LLAMA_CPP, str(FAKE), "fake"),)

    def known_architectures(self, path: str) -> tuple[str, ...] | None:
        return llama_cpp.known_architectures(path)

    def assume(self) -> Capabilities:
        return llama_cpp.assume()

    def arguments(self, flags: EngineFlags, caps: Capabilities) -> tuple[str, ...]:
        return llama_cpp.arguments(flags, caps)

    def parse(self, args: Sequence[str]) -> EngineFlags:
        return llama_cpp.parse(args)

    def diagnose(self, log_tail: str, ended: Exit) -> EngineError:
        return llama_cpp.diagnose(log_tail, ended)

    def find_degradation(self, log: str, plan: Plan) -> EngineError | None:
        return None


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Quick restarts, ports of this process alone, nothing from outside."""
    for variable in [name for name in os.environ if name.startswith("NODE_DAEMON_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return load(
        listen="off",
        state_dir=tmp_path / "state",
        models_dir=tmp_path / "models",
        socket=tmp_path / "s",
        hub_cache=tmp_path / "theirs",
        ollama_models=tmp_path / "ollama",
        offline=True,
        port_first=lent_ports.block()[0],
        port_last=lent_ports.block()[-1],
        telemetry=False,
        probe_interval_s=3600,  # what is done at intervals does not come between
        restart_delay_s=0.05,
        restart_delay_max_s=0.2,
        ready_timeout_s=120,
        engine_folders=str(FAKE.parent.parent),  # it answers with captures
    )


@pytest.fixture
def launcher() -> FakeLauncher:
    return FakeLauncher()


@lru_cache(maxsize=1)
def fork_server() -> ForkServer:
    """Of all daemons of this test process: its imports take half a second."""
    server = ForkServer(IN_WORKERS)
    atexit.register(server.close)
    return server


async def known_bandwidth() -> float:
    return 20e9


def fake_adapters(settings: Settings, launcher: FakeLauncher) -> Adapters:
    """The real adapters, with another engine, without the second of measuring RAM and disk, and without what
    else uses the CPUs of the test machine."""
    caps = Capabilities(LLAMA_CPP, str(FAKE), version="fake")
    return replace(
        real_adapters(settings, fork_server()),
        measure_bandwidth=known_bandwidth,
        measure_read_rate=lambda: ReadRate(2e9, of_weights=True),
        cpu_pressure=lambda: None,
        ask_runtimes=Runtimes,
        launchers={LLAMA_CPP: launcher, VLLM: vllm},
        engines=lambda: launcher.find(None),
        engine=lambda name: caps,
    )


@pytest.fixture
def adapters(settings: Settings, launcher: FakeLauncher) -> Adapters:
    return fake_adapters(settings, launcher)


@dataclass
class Api:
    """The daemon as node-ctl sees it."""

    http: httpx.AsyncClient
    app: App

    async def get(self, path: str) -> Any:
        return (await self.http.get(path)).json()

    async def post(self, path: str, **body: object) -> httpx.Response:
        return await self.http.post(path, json=body)

    async def launch(self, model: Path | str, **body: object) -> str:
        """Threads are given, so that none are tried out."""
        response = await self.post("/v1/launches", model=str(model), threads=1, **body)
        assert response.status_code == 202, response.text
        return str(response.json()["name"])

    async def progress(self, name: str) -> list[dict[str, Any]]:
        """To its end."""
        answer = await self.http.get(f"/v1/launches/{name}/progress")
        return [httpx.Response(200, content=line).json() for line in answer.text.splitlines()]

    async def row(self, name: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The row of ``name``, as soon as it ``fits``."""
        async with asyncio.timeout(120):
            while not fits(row := (await self.get(f"/v1/launches/{name}"))["launch"]):  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.02)
        return dict(row)

    async def launched(self, model: Path | str, **body: object) -> dict[str, Any]:
        """The row of a launch that became ready."""
        name = await self.launch(model, **body)
        steps = await self.progress(name)
        assert steps[-1]["step"] == "ready", steps[-1]
        return dict((await self.get(f"/v1/launches/{name}"))["launch"])


Running = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture
def daemon(settings: Settings, adapters: Adapters) -> Running:
    """Starts a daemon on the same state each time it is called, with other adapters or settings where
    given."""

    @asynccontextmanager
    async def run(other: Adapters | None = None, *, of: Settings = settings) -> AsyncIterator[Api]:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        transport = httpx.AsyncHTTPTransport(uds=str(settings.socket), verify=False)
        async with (
            running(of, SystemdNotifier({}), other or adapters) as app,
            httpx.AsyncClient(transport=transport, base_url="http://node-daemon", timeout=120) as http,
        ):
            yield Api(http, app)

    return run
