"""Engines that die, daemons that die: what was desired is served again, and never twice."""

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest_asyncio

from config.settings import Settings
from daemon.state.store import Store
from tests.daemon.conftest import FakeLauncher, Running, alive
from tests.daemon.killed import served_by_a_killed_daemon

Row = Mapping[str, Any]


def forget_pids(store: Store) -> None:
    with store.database.writing() as db:
        db.execute("UPDATE runs SET pid = NULL, start_ticks = NULL")


def forget_runs(store: Store) -> None:
    with store.database.writing() as db:
        db.execute("DELETE FROM runs")


def is_ready(row: Row) -> bool:
    return bool(row["state"] == "ready")


async def test_an_engine_that_is_killed_comes_back_where_it_was(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        before = await api.launched(smollm2, name="tiny")
        os.kill(before["pid"], signal.SIGKILL)
        after = await api.row("tiny", lambda row: is_ready(row) and row["pid"] not in (None, before["pid"]))
        events = await api.http.get("/v1/events")
    assert after["endpoint"] == before["endpoint"]
    assert after["restarts"] == 1
    assert after["last_error"] is None
    assert '"kind": "died"' in events.text
    assert "SIGKILL" in events.text


async def test_an_engine_that_keeps_dying_is_failed_and_tried_all_the_same(
    daemon: Running, smollm2: Path, launcher: FakeLauncher
) -> None:
    async with daemon() as api:
        row = await api.launched(smollm2, name="tiny")
        launcher.args = ("--say", "main: error: out of luck", "--die", "3")
        os.kill(row["pid"], signal.SIGKILL)
        failed = await api.row("tiny", lambda row: row["state"] == "failed" and row["restarts"] >= 6)
        assert "exited 3" in failed["last_error"]
        launcher.args = ()
        well = await api.row("tiny", is_ready)
        assert well["last_error"] is None
        told = await api.app.store.run(api.app.store.launches.get, "tiny")
    assert told is not None
    assert told.desired


async def test_launching_again_ends_the_wait(
    settings: Settings, daemon: Running, smollm2: Path, launcher: FakeLauncher
) -> None:
    object.__setattr__(settings, "restart_delay_s", 60.0)
    object.__setattr__(settings, "restart_delay_max_s", 60.0)
    async with daemon() as api:
        row = await api.launched(smollm2, name="tiny")
        os.kill(row["pid"], signal.SIGKILL)
        await api.row("tiny", lambda row: row["state"] == "degraded")
        answer = await api.post("/v1/launches", model=str(smollm2), name="tiny", threads=1)
        assert answer.json() == {"name": "tiny", "created": False}
        assert (await api.progress("tiny"))[-1]["step"] == "ready"


async def test_serving_for_long_begins_the_waits_anew(
    settings: Settings, daemon: Running, smollm2: Path
) -> None:
    object.__setattr__(settings, "restart_stable_s", 0.0)
    async with daemon() as api:
        row = await api.launched(smollm2, name="tiny")
        for restarts in (1, 2, 3):
            os.kill(row["pid"], signal.SIGKILL)
            row = await api.row("tiny", lambda row, n=restarts: is_ready(row) and row["restarts"] == n)  # type: ignore[misc]
            assert api.app.launches["tiny"].attempts.failures == 1


@pytest_asyncio.fixture
async def survivor(settings: Settings, smollm2: Path) -> dict[str, Any]:
    """The row of ``tiny``, whose daemon was killed."""
    row = await asyncio.to_thread(served_by_a_killed_daemon, settings, smollm2)
    assert alive(row["pid"])
    return row


async def test_a_daemon_that_starts_takes_over_the_engine_that_runs(daemon: Running, survivor: Row) -> None:
    async with daemon() as api:
        after = await api.row("tiny", is_ready)
        detail = await api.get("/v1/launches/tiny")
        assert (after["pid"], after["endpoint"]) == (survivor["pid"], survivor["endpoint"])
        assert detail["reused"] == ["the running engine"]
        assert detail["launch"]["restarts"] == 0
    assert not alive(survivor["pid"]), "a taken-over engine ends with its new daemon, too"


async def test_a_survivor_that_nobody_wants_is_ended(
    settings: Settings, daemon: Running, survivor: Row
) -> None:
    store = await asyncio.to_thread(Store, settings.state_dir / "state.db")
    told = await store.run(store.launches.get, "tiny")
    assert told is not None
    await store.run(store.launches.save, replace(told, desired=False))
    async with daemon() as api:
        await api.app.survivors_known.wait()
        await api.row("tiny", lambda row: row["state"] == "stopped" and not alive(survivor["pid"]))
        while api.app.launches["tiny"].task is not None:  # noqa: ASYNC110 - it is polled
            await asyncio.sleep(0.02)
        assert await api.app.store.run(api.app.store.runs.unfinished) == ()


async def test_an_engine_whose_pid_was_never_written_down_is_found(
    settings: Settings, daemon: Running, survivor: Row
) -> None:
    store = await asyncio.to_thread(Store, settings.state_dir / "state.db")
    await asyncio.to_thread(forget_pids, store)
    async with daemon() as api:
        assert (await api.row("tiny", is_ready))["pid"] == survivor["pid"]


async def test_an_engine_that_no_run_tells_of_is_ended_and_another_serves(
    settings: Settings, daemon: Running, survivor: Row
) -> None:
    """It was started while the state could not be written."""
    store = await asyncio.to_thread(Store, settings.state_dir / "state.db")
    await asyncio.to_thread(forget_runs, store)
    async with daemon() as api:
        after = await api.row("tiny", is_ready)
        assert after["pid"] != survivor["pid"]
        assert not alive(survivor["pid"])


async def test_a_survivor_that_died_meanwhile_is_started_anew(daemon: Running, survivor: Row) -> None:
    os.kill(survivor["pid"], signal.SIGKILL)
    async with daemon() as api:
        after = await api.row("tiny", is_ready)
        assert after["pid"] != survivor["pid"]
        assert after["endpoint"] == survivor["endpoint"]
