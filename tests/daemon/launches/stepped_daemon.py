"""A daemon that a test turns by hand: its time passes when told, its engines are those of ``world.py``."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from config.settings import Settings
from daemon.app import App, build_app
from daemon.launches import service
from daemon.launches.launch import Launch
from daemon.launches.restore import read_launches
from daemon.state.records import Event
from daemon.state.store import Store
from daemon.turns import restore
from domain.launches.launch import LaunchState
from domain.launches.plan import LaunchOptions
from tests.daemon.launches.stepped_loop import SteppedLoop
from tests.daemon.launches.world import World, adapters, configuration

OPTIONS = LaunchOptions(context_tokens=512, threads=1)
START_S = 1.0  # the most that a start, a stop and their polls take here


class Daemon:
    """One daemon on the state below ``folder``, turned by hand."""

    def __init__(self, folder: Path, world: World, **settings: object) -> None:
        self.world = world
        self.settings: Settings = configuration(folder).model_copy(update=settings)
        self.loop = SteppedLoop()
        asyncio.set_event_loop(self.loop)
        self.app: App = build_app(self.settings, Store(folder / "state.db"), adapters(self.settings, world))
        self.call(self.app.in_flight.judge())
        self.call(read_launches(self.app))
        self.loop.create_task(restore(self.app))
        self.until(self.app.survivors_known.is_set)

    @property
    def launch(self) -> Launch:
        return self.app.launches["a"]

    @property
    def events(self) -> list[Event]:
        return list(self.app.store.events.since(0))

    def kinds(self, *ignored: str) -> list[str]:
        return [event.kind for event in self.events if event.kind not in ignored]

    def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(20_000):
            if holds():
                return
            self.loop.step()
            if self.loop.is_idle and not holds():
                self.loop.advance()
        raise AssertionError("it never came to that")

    def pass_s(self, seconds: float) -> None:
        end_s = self.loop.now_s + seconds
        self.loop.call_at(end_s, lambda: None)
        self.until(lambda: self.loop.now_s >= end_s)

    def call(self, what: Coroutine[Any, Any, Any]) -> Any:
        task = self.loop.create_task(what)
        self.until(task.done)
        return task.result()

    def ask(self) -> Launch:
        launch, _ = self.call(service.launch(self.app, "/m/tiny.gguf", OPTIONS, "a"))
        assert isinstance(launch, Launch)
        return launch

    def serve(self) -> Launch:
        launch = self.ask()
        self.until(lambda: self.launch.state is LaunchState.READY and self.launch.progress.ended)
        return launch

    def kill_engine(self) -> None:
        for engine in self.world.living:
            engine.alive = False

    def until_state(self, state: LaunchState) -> None:
        self.until(lambda: self.launch.state is state)

    def until_at_rest(self) -> None:
        self.until(lambda: self.launch.is_at_rest)

    def end(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        for _ in range(50):
            self.loop.step()
        self.app.store.close()
        self.loop.close()


Start = Callable[..., Daemon]
