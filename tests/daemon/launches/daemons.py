"""Daemons that follow one another on one state: what is asked of them, what happens, and what must hold."""

import asyncio
import ctypes
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from daemon.app import build_app
from daemon.launches import service
from daemon.launches.launch import Launch
from daemon.launches.restore import read_launches
from daemon.machine import snapshot
from daemon.state.store import Store
from daemon.turns import restore
from domain.errors import NodeError, StateError
from domain.launches.launch import LaunchState, Step
from domain.launches.plan import LaunchOptions
from tests.daemon.launches.stepped_loop import SteppedLoop
from tests.daemon.launches.world import FakeEngine, World, adapters, configuration

NAMES = ("a", "b")
COUNTED: Counter[str] = Counter()


@dataclass
class Request:
    """A call of the API. ``expects``: whether the launch is desired once it is answered."""

    name: str
    expects: bool
    task: "asyncio.Task[Any]"


class Daemons(RuleBasedStateMachine):
    """``desired`` is what their owner was told, ``None`` where he can't know: no answer, or two at once."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="node-daemon-stateful-"))
        self.world = World()
        self.desired: dict[str, bool | None] = dict.fromkeys(NAMES, False)
        self.unsettled_deaths = Counter[str]()
        self.is_full = False
        self.configured = configuration(self.folder)
        self.start_daemon()

    def start_daemon(self) -> None:
        self.loop = SteppedLoop()
        asyncio.set_event_loop(self.loop)
        self.requests: list[Request] = []
        self.app = build_app(
            self.configured, Store(self.folder / "state.db"), adapters(self.configured, self.world)
        )
        self.reading = self.loop.create_task(self.read())
        self.restoring = self.loop.create_task(self.restore())

    async def read(self) -> None:
        await self.app.in_flight.judge()
        await read_launches(self.app)

    async def restore(self) -> None:
        await self.reading
        await restore(self.app)

    # what an owner does

    @rule(name=st.sampled_from(NAMES), context_tokens=st.sampled_from((512, 1024)))
    def launch(self, name: str, context_tokens: int) -> None:
        options = LaunchOptions(context_tokens=context_tokens, threads=1)
        self.ask(name, service.launch(self.app, "/m/tiny.gguf", options, name), expects=True)

    @rule(name=st.sampled_from(NAMES), forget=st.booleans())
    def stop(self, name: str, forget: bool) -> None:
        self.ask(name, service.stop(self.app, name, forget=forget), expects=False)

    @rule(name=st.sampled_from(NAMES))
    def start(self, name: str) -> None:
        self.ask(name, service.start(self.app, name), expects=True)

    @rule(name=st.sampled_from(NAMES))
    def restart(self, name: str) -> None:
        self.ask(name, service.restart(self.app, name), expects=True)

    def ask(self, name: str, call: Coroutine[Any, Any, Any], *, expects: bool) -> None:
        if not self.reading.done():  # no socket listens yet
            call.close()
            return
        self.requests.append(Request(name, expects, self.loop.create_task(call)))

    @rule(name=st.sampled_from(NAMES), held=st.booleans())
    def a_guard_holds(self, name: str, held: bool) -> None:
        launch = self.app.launches.get(name)
        if launch is not None and held:
            COUNTED["holds"] += 1
            launch.orders.hold("heat", "it to cool")
        elif launch is not None:
            launch.orders.release("heat")

    # what happens to engines, the disk and the daemon

    @rule(number=st.integers(0, 3))
    @precondition(lambda self: self.world.living)
    def an_engine_dies(self, number: int) -> None:
        living = self.world.living
        living[number % len(living)].alive = False

    @rule(starts=st.sampled_from(("answer", "die", "hang")))
    def engines_start_so(self, starts: str) -> None:
        self.world.starts = starts

    @rule(unkillable=st.booleans())
    def engines_of_now_on_can_be_killed(self, unkillable: bool) -> None:
        self.world.unkillable_from_now = unkillable

    @rule(full=st.booleans())
    def the_disk_is_full(self, full: bool) -> None:
        self.is_full = full
        self.app.store.database.read_only_because = "the disk is full" if full else None

    @rule(finish=st.booleans())
    def the_daemon_dies(self, finish: bool) -> None:
        self.settle_answers()
        for request in self.requests:
            self.desired[request.name] = None
        for launch in self.app.launches.values():
            self.unsettled_deaths[launch.name] += launch.waiting is None
        self.bury()
        COUNTED["deaths"] += 1
        self.start_daemon()
        self.loop.finish_cancelled = finish
        self.the_disk_is_full(full=self.is_full)

    @rule(count=st.integers(1, 12))
    def turn(self, count: int) -> None:
        for _ in range(count):
            self.loop.step()
            COUNTED["turns"] += 1
        self.settle_answers()

    @rule(count=st.integers(1, 6))
    def time_passes(self, count: int) -> None:
        for _ in range(count):
            self.loop.advance()
            self.turn(3)

    def settle_answers(self) -> None:
        """What is answered is known, unless another request for that name is under way."""
        for request in [request for request in self.requests if request.task.done()]:
            self.requests.remove(request)
            COUNTED["answers"] += 1
            error = request.task.exception()
            alone = all(other.name != request.name for other in self.requests)
            if error is None:
                self.desired[request.name] = request.expects if alone else None
            elif isinstance(error, StateError) or not alone:
                self.desired[request.name] = None
            elif not isinstance(error, NodeError):
                raise error
            elif not request.expects and getattr(error, "cause", "") == "unkillable":
                self.desired[request.name] = False

    # what holds whenever one looks

    @invariant()
    def every_engine_has_one_owner(self) -> None:
        if not hasattr(self, "app") or not self.app.survivors_known.is_set():
            return
        owned = [engine_of(launch) for launch in self.app.launches.values()]
        for engine in self.world.living:
            assert owned.count(engine) == 1, f"{engine} has {owned.count(engine)} owners"
        names = Counter(engine.command.served_name for engine in self.world.living)
        assert all(count == 1 for count in names.values()), f"served twice: {names}"

    @invariant()
    def nothing_at_rest_holds_anything(self) -> None:
        if not hasattr(self, "app") or not self.app.survivors_known.is_set():
            return
        for launch in self.app.launches.values():
            if launch.is_at_rest and not launch.lifecycle.desired:
                assert launch.engine is None
                assert launch.name not in self.app.ledger.reserved
                assert (
                    launch.progress.ended or launch.lifecycle.history == launch.lifecycle.history.__class__()
                )
                assert launch.state in {LaunchState.STOPPED, LaunchState.FAILED}
        for name in self.app.ledger.reserved:
            assert not self.app.launches[name].is_at_rest, f"reserved for {name}, which is at rest"

    @invariant()
    def only_what_daemons_died_of_is_quarantined(self) -> None:
        for launch in self.app.launches.values() if hasattr(self, "app") else ():
            if launch.state is LaunchState.READY or (launch.is_at_rest and not is_quarantined(launch)):
                self.unsettled_deaths[launch.name] = 0
            if is_quarantined(launch):
                COUNTED["quarantined"] += 1
                assert self.unsettled_deaths[launch.name] >= 2

    @invariant()
    def no_task_broke(self) -> None:
        if hasattr(self, "loop"):
            assert self.loop.broken == []

    # what comes of it where nothing else happens

    @rule()
    def all_is_well_at_last(self) -> None:
        COUNTED["settled"] += 1
        self.world.starts, self.world.unkillable_from_now = "answer", False
        self.the_disk_is_full(full=False)
        self.loop.call_soon(self.app.in_flight.end, snapshot.JOB)  # as node-ctl probe --refresh does
        for launch in self.app.launches.values():
            launch.orders.release("heat")
        for engine in self.world.living:
            if not engine.killable:  # the kernel lets it go
                engine.killable, engine.alive = True, False
            engine.answers = True
        for _ in range(3000):
            self.turn(2)
            if self.is_settled():
                break
            if self.loop.is_idle:
                self.loop.advance()
        else:
            rows = [launch.row() for launch in self.app.launches.values()]
            tasks = "\n".join(map(str, asyncio.all_tasks(self.loop)))
            raise AssertionError(f"never settled: {rows}\n{tasks}")
        self.check_settled()

    def is_settled(self) -> bool:
        return (
            self.restoring.done()
            and not self.requests
            and all(
                launch.is_at_rest
                or (launch.state is LaunchState.READY and launch.progress.ended and launch.pid is not None)
                for launch in self.app.launches.values()
            )
        )

    def check_settled(self) -> None:
        stored = {record.request.name: record.desired for record in self.app.store.launches.all()}
        serving = {launch.name for launch in self.app.launches.values() if launch.state is LaunchState.READY}
        assert serving == {engine.command.served_name for engine in self.world.living}
        assert serving == set(self.app.ledger.reserved)
        for name in NAMES:
            launch = self.app.launches.get(name)
            wanted = self.desired[name]
            if wanted is None:
                wanted = launch is not None and launch.lifecycle.desired
            elif wanted and launch is not None and not launch.lifecycle.desired and has_failed(launch):
                wanted = False  # its first start failed, and its progress said so
            assert (name in serving) == wanted, f"{name} is served: {name in serving}, should be: {wanted}"
            if launch is None or not launch.unsaved:
                assert stored.get(name, False) == wanted, f"{name} is stored as {stored.get(name)}"
            self.desired[name] = wanted

    def teardown(self) -> None:
        if hasattr(self, "app"):
            try:
                self.all_is_well_at_last()
            finally:
                self.bury()
                shutil.rmtree(self.folder)

    def bury(self) -> None:
        """The kernel closes its files; nothing of it runs on, not even the ends of its coroutines, which a
        garbage collector would run: its tasks are never collected."""
        for task in asyncio.all_tasks(self.loop):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))
        self.app.store.close()
        self.loop.close()


def is_quarantined(launch: Launch) -> bool:
    return launch.is_at_rest and (launch.attempts.last_error or "").startswith("quarantined")


def has_failed(launch: Launch) -> bool:
    lines = launch.progress.lines
    return bool(lines) and lines[-1].step is Step.FAILED


def engine_of(launch: Launch) -> FakeEngine | None:
    return getattr(launch.process, "engine", None)
