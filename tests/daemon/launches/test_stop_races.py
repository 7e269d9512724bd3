"""Stops that meet launches, stops and writes under way: the last word is the owner's."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from daemon.state.records import LaunchRecord
from daemon.state.store import Store
from domain.errors import EngineError, StateError
from domain.launches.launch import LaunchState
from launchers.process.engine import EngineProcess
from tests.daemon.conftest import Api, FakeLauncher, Running, alive


class Held:
    """A call of the store, which blocks every other one, until it is ``let_go``."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.entered, self.let_go, self._call = threading.Event(), threading.Event(), call

    def __call__(self, *args: object) -> Any:
        self.entered.set()
        assert self.let_go.wait(120)
        return self._call(*args)


async def until_set(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 120)


async def test_a_write_under_way_has_not_the_last_word(
    settings: Settings, daemon: Running, smollm2: Path
) -> None:
    """A launch that is just being written down as desired, and is stopped."""
    async with daemon() as api:
        held = Held(api.app.store.launches.save)
        api.app.store.launches.save = held  # type: ignore[method-assign]
        launching = asyncio.create_task(api.launch(smollm2, name="tiny"))
        await until_set(held.entered)
        stopping = asyncio.create_task(api.post("/v1/launches/tiny/stop"))
        while not api.app.launches["tiny"].orders.stop:  # noqa: ASYNC110 - orders are flags
            await asyncio.sleep(0.01)
        held.let_go.set()
        await launching
        assert (await stopping).json()["state"] == "stopped"
        told = await api.app.store.run(api.app.store.launches.get, "tiny")
    assert told is not None
    assert not told.desired
    store = await asyncio.to_thread(Store, settings.state_dir / "state.db")
    assert await store.run(store.launches.get, "tiny") == told
    await asyncio.to_thread(store.close)


async def test_two_that_forget_at_once_are_both_answered(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        both = await asyncio.gather(
            *(api.post("/v1/launches/tiny/stop", forget=forget) for forget in (False, True, True))
        )
        assert [answer.status_code for answer in both] == [200, 200, 200]
        assert await api.get("/v1/launches") == []


async def test_nothing_of_a_name_begins_while_it_is_forgotten(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        held = Held(api.app.store.launches.forget)
        api.app.store.launches.forget = held  # type: ignore[method-assign]
        forgetting = asyncio.create_task(api.post("/v1/launches/tiny/stop", forget=True))
        await until_set(held.entered)
        meanwhile = await api.post("/v1/launches", model=str(smollm2), name="tiny", threads=1)
        held.let_go.set()
        await forgetting
        assert meanwhile.status_code == 423
        assert "is stopping" in meanwhile.json()["error"]["message"]
        row = await api.launched(smollm2, name="tiny")
        assert [one["name"] for one in await api.get("/v1/launches")] == ["tiny"]
    assert not alive(row["pid"])


async def test_one_engine_that_does_not_end_keeps_no_other(daemon: Running, smollm2: Path) -> None:
    async def stuck() -> None:
        raise OSError(9, "Bad file descriptor")

    async with daemon() as api:
        first = await api.launched(smollm2, name="first")
        second = await api.launched(smollm2, name="second")
        process = api.app.launches["second"].process
        assert process is not None
        end = process.stop
        process.stop = stuck  # type: ignore[method-assign]
    assert not alive(first["pid"])
    assert alive(second["pid"])
    await end()


async def test_who_waits_hears_of_a_failure_whose_engine_does_not_end(
    daemon: Running, smollm2: Path, launcher: FakeLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(process: EngineProcess) -> None:
        raise EngineError(f"process {process.pid} does not end, not even killed", cause="unkillable")

    launcher.args = ("--say", "main: error: no luck", "--die", "1")
    monkeypatch.setattr(EngineProcess, "stop", stuck)
    async with daemon() as api:
        async with asyncio.timeout(120):
            last = (await api.progress(await api.launch(smollm2, name="tiny")))[-1]
    assert last["step"] == "failed"


async def served_again_without_a_disk(api: Api, pid: int) -> dict[str, Any]:
    """The row after its engine was killed while READY can't be written."""
    save = api.app.store.launches.save

    def full(launch: LaunchRecord) -> None:
        if launch.state is LaunchState.READY:
            raise StateError("the disk is full")
        save(launch)

    api.app.store.launches.save = full  # type: ignore[method-assign]
    os.kill(pid, signal.SIGKILL)
    return await api.row("tiny", lambda row: row["state"] == "ready" and row["pid"] not in (None, pid))


async def test_a_full_disk_ends_no_engine_that_serves(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        before = await api.launched(smollm2, name="tiny")
        after = await served_again_without_a_disk(api, before["pid"])
        assert after["restarts"] == 1
        assert set(api.app.ledger.reserved) == {"tiny"}
        again = await served_again_without_a_disk(api, after["pid"])
        assert again["restarts"] == 2, "it was started once for each end of it, and for nothing else"
