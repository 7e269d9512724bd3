"""A machine without a kernel: engines that outlive daemons, die, hang and can't be killed, as a test wants.

``FakeProcess`` stands in for ``launchers.process.engine.EngineProcess`` and keeps its contract: a start is
shared and survives a caller that gives up, a stop during a spawn ends what is spawned, an engine that can't
be killed stays alive and raises. The contract is tested on real children in tests/launchers/process.
"""

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path

from config.loading import load
from config.settings import Settings
from daemon.app import Adapters
from daemon.launches.start.watch import Watch
from domain.errors import EngineError
from domain.launches.plan import LLAMA_CPP
from domain.machine.hardware import Hardware, Memory
from launchers.base import Capabilities
from launchers.command import Command, Exit
from launchers.liveness import Activity, Look
from launchers.process.orphans import OWNER
from launchers.process.procfs import Identity, Work
from launchers.readiness import Ready
from probes.runtimes.probe import Runtimes
from tests.daemon.conftest import FakeLauncher, fake_adapters

GIB = 1 << 30
MACHINE = Hardware(memory=Memory(total_bytes=16 * GIB, available_bytes=8 * GIB))
WELL = Look(True, False, Activity(0, ("decoded 1",)), Work(1.0, 0, stopped=False), 0)


@dataclass(eq=False)
class FakeEngine:
    identity: Identity
    command: Command
    answers: bool = True
    killable: bool = True
    alive: bool = True


@dataclass
class World:
    """``starts`` says what becomes of an engine that is started now: it answers, dies, or says nothing.
    ``rate``: at how many tokens a second the known question is answered."""

    starts: str = "answer"
    unkillable_from_now: bool = False
    engines: list[FakeEngine] = field(default_factory=list)
    daemon: int = 0
    look: Look = WELL
    rate: float | None = None
    machine: Hardware = MACHINE
    dies_of: str = "killed"
    _pids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(100))

    def spawn(self, command: Command) -> FakeEngine:
        pid = next(self._pids)
        engine = FakeEngine(Identity(pid, pid), command, self.starts != "hang", not self.unkillable_from_now)
        engine.alive = self.starts not in ("die", "oom")
        self.engines.append(engine)
        return engine

    @property
    def living(self) -> list[FakeEngine]:
        return [engine for engine in self.engines if engine.alive]

    def find_process(self, command: Command) -> Identity | None:
        return next((engine.identity for engine in self.living if engine.command.argv == command.argv), None)

    def find_engines(self, owner: str) -> tuple[Identity, ...]:
        return tuple(engine.identity for engine in self.living if engine.command.env.get(OWNER) == owner)

    def by_identity(self, identity: Identity) -> FakeEngine | None:
        return next((engine for engine in self.living if engine.identity == identity), None)

    def new_process(self, command: Command, watch: Watch) -> "FakeProcess":
        del watch
        return FakeProcess(self, command)

    async def end_process(self, identity: Identity) -> None:
        await asyncio.sleep(0)
        engine = self.by_identity(identity)
        if engine is not None and not engine.killable:
            raise EngineError(f"process {identity.pid} does not end", cause="unkillable")
        if engine is not None:
            engine.alive = False


class FakeProcess:
    """Polls its engine once a tenth of a second of the loop's own time."""

    TICK_S = 0.1

    def __init__(self, world: World, command: Command) -> None:
        self.world, self.command, self.daemon = world, command, world.daemon
        self.engine: FakeEngine | None = None
        self.ready: Ready | None = None
        self._start: asyncio.Task[Ready] | None = None
        self._asked = False

    @property
    def alive(self) -> bool:
        return self.engine is not None and self.engine.alive

    @property
    def identity(self) -> Identity | None:
        return self.engine.identity if self.engine is not None and self.engine.alive else None

    @property
    def pid(self) -> int | None:
        return None if self.identity is None else self.identity.pid

    own_user_because: EngineError | None = None

    async def adopt(self, identity: Identity, earlier: Ready | None = None) -> bool:
        del earlier
        await asyncio.sleep(0)
        engine = self.world.by_identity(identity)
        if engine is not None and engine.command.argv == self.command.argv:
            self.engine = engine
        return self.engine is not None

    async def ensure_ready(self, timeout_s: float) -> Ready:
        if self._start is None:
            self._start = asyncio.create_task(self._bring_up(timeout_s))
            self._start.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._start)

    async def _bring_up(self, timeout_s: float) -> Ready:
        if self.engine is None:
            await asyncio.sleep(0)
            self.engine = self.world.spawn(self.command)
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            await asyncio.sleep(self.TICK_S)
            if not self.engine.alive:
                cause = "out_of_host_memory" if self.world.starts == "oom" else "exited"
                raise EngineError("it exited 1", cause="stopped" if self._asked else cause)
            if self.engine.answers:
                self.ready = Ready("Paris", 10.0, None, 1.0)
                return self.ready
            if asyncio.get_running_loop().time() > deadline_s:
                await self._kill()
                raise EngineError("it did not answer in time", cause="timeout")

    async def stop(self) -> Exit | None:
        self._asked = True
        while self._start is not None and not self._start.done() and self.engine is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await asyncio.sleep(self.TICK_S)
        await self._kill()
        if self._start is not None:
            await asyncio.wait({self._start})
        return None if self.engine is None else Exit(None, stop_requested=True, served=True, oom_killed=False)

    async def _kill(self) -> None:
        if self.engine is not None and self.engine.alive:
            if not self.engine.killable:
                raise EngineError(f"process {self.pid} does not end, not even killed", cause="unkillable")
            self.engine.alive = False

    async def wait(self) -> Exit:
        if self.engine is None:
            raise EngineError("it was not started", cause="not_started")
        while self.engine.alive:  # noqa: ASYNC110 - of the stepped loop
            await asyncio.sleep(self.TICK_S)
        return Exit(9, stop_requested=self._asked, served=True, oom_killed=False)

    async def why(self) -> EngineError:
        await asyncio.sleep(0)
        return EngineError("it was killed", cause=self.world.dies_of)

    async def look(self) -> Look:
        await asyncio.sleep(0)
        return self.world.look

    async def canary(self, tokens: int | None, expect: str | None, *_: object) -> Ready:
        assert self.world.rate is not None, "this daemon sends none"
        await asyncio.sleep(self.TICK_S)
        return Ready("Paris", self.world.rate, None, 1.0)

    async def log_head(self) -> str:
        await asyncio.sleep(0)
        return ""


def configuration(folder: Path) -> Settings:
    return load(
        state_dir=folder,
        models_dir=folder / "models",
        socket=folder / "s",
        offline=True,
        restart_delay_s=1.0,
        restart_delay_max_s=8.0,
        ready_timeout_s=30,
        health_canary_s=0,
    )


def adapters(configured: Settings, world: World) -> Adapters:
    return replace(
        fake_adapters(configured, FakeLauncher()),
        probe=lambda: world.machine,
        engine=lambda name: Capabilities(LLAMA_CPP, "/usr/bin/fake", version="fake"),
        engines=tuple,
        boot_id=lambda: "boot",
        ask_runtimes=Runtimes,
        find_process=world.find_process,
        find_engines=world.find_engines,
        new_process=world.new_process,
        end_process=world.end_process,
    )
