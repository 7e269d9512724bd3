"""An engine that the kernel does not let go of stays known and keeps its memory until it is gone."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from daemon.state.events import EventTable
from daemon.state.store import Store
from launchers.process import orphans, procfs
from tests.daemon.conftest import Api, FakeLauncher, Running, alive


@pytest.fixture
def stuck(
    monkeypatch: pytest.MonkeyPatch, launcher: FakeLauncher, settings: Settings
) -> Iterator[pytest.MonkeyPatch]:
    """Nothing that the daemon does ends an engine, as with one in uninterruptible sleep."""
    launcher.args, launcher.grace_s = ("--deaf",), 0.1
    monkeypatch.setattr("launchers.process.child.KILL_S", 0.2)
    monkeypatch.setattr(procfs, "signal_session", lambda session, number: None)
    yield monkeypatch
    for identity in orphans.engines_of(str(settings.state_dir)):
        os.kill(identity.pid, signal.SIGKILL)


def starts(store: Store) -> int:
    """How many engines were ever begun."""
    with store.database.reading() as db:
        return int(db.execute("SELECT count(*) FROM runs").fetchone()[0])


async def served_and_stuck(api: Api, smollm2: Path) -> dict[str, Any]:
    row = await api.launched(smollm2, name="tiny")
    refused = await api.post("/v1/launches/tiny/stop")
    assert refused.status_code == 502
    assert "is still there after SIGKILL" in refused.json()["error"]["message"]
    return row


async def test_it_is_named_everywhere_until_it_is_gone(
    daemon: Running, smollm2: Path, stuck: pytest.MonkeyPatch
) -> None:
    async with daemon() as api:
        before = await served_and_stuck(api, smollm2)
        pid = before["pid"]
        (row,) = await api.get("/v1/launches")
        assert (row["state"], row["pid"]) == ("stopping", pid)
        assert f"process {pid} is still there" in row["last_error"]
        assert set(api.app.ledger.reserved) == {"tiny"}
        again = await api.post("/v1/launches", model=str(smollm2), name="tiny", threads=1)
        assert again.status_code == 423
        assert f"process {pid} is still there" in again.json()["error"]["message"]
        (finding,) = await api.get("/v1/doctor?check=launches")
        assert finding["status"] == "error"
        assert f"process {pid} is still there" in finding["found"]
        os.kill(pid, signal.SIGKILL)  # the kernel lets it go
        await api.row("tiny", lambda row: row["state"] == "stopped")
        assert api.app.ledger.reserved == {}
        events = (await api.http.get("/v1/events")).text
        assert await api.app.store.run(api.app.store.runs.unfinished) == ()
    assert '"kind": "engine_stuck"' in events
    assert '"kind": "engine_gone"' in events


async def test_its_stop_is_tried_again_when_it_is_asked_for_again(
    daemon: Running, smollm2: Path, stuck: pytest.MonkeyPatch
) -> None:
    async with daemon() as api:
        pid = (await served_and_stuck(api, smollm2))["pid"]
        assert (await api.post("/v1/launches/tiny/stop")).status_code == 502
        stuck.undo()
        assert (await api.post("/v1/launches/tiny/stop")).json()["state"] == "stopped"
    assert not alive(pid)


async def test_whoever_sees_that_it_is_stuck_can_have_its_stop_tried_again(
    daemon: Running, smollm2: Path, stuck: pytest.MonkeyPatch
) -> None:
    """Also while the disk takes its time for the event of it."""
    append = EventTable.append

    def slow(table: EventTable, kind: str, *args: Any) -> Any:
        if kind == "engine_stuck":
            time.sleep(0.2)
        return append(table, kind, *args)

    stuck.setattr(EventTable, "append", slow)
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        first = asyncio.create_task(api.post("/v1/launches/tiny/stop"))
        await api.row("tiny", lambda row: row["last_error"] is not None)
        stuck.undo()
        assert (await api.post("/v1/launches/tiny/stop")).json()["state"] == "stopped"
        assert (await first).status_code == 502


async def test_the_next_daemon_knows_it_and_does_not_desire_it(
    daemon: Running, smollm2: Path, stuck: pytest.MonkeyPatch
) -> None:
    async with daemon() as api:
        pid = (await served_and_stuck(api, smollm2))["pid"]
    assert alive(pid), "the end of the daemon does not wait for it"
    async with daemon() as api:
        row = await api.row("tiny", lambda row: row["state"] == "stopping" and row["last_error"] is not None)
        assert row["pid"] == pid
        assert "is still there" in row["last_error"]
        assert set(api.app.ledger.reserved) == {"tiny"}
        stuck.undo()
        assert (await api.post("/v1/launches/tiny/stop")).json()["state"] == "stopped"
        record = await api.app.store.run(api.app.store.launches.get, "tiny")
    assert record is not None
    assert not record.desired
    assert not alive(pid)


async def test_a_desired_launch_is_served_again_once_it_is_gone(
    daemon: Running, smollm2: Path, stuck: pytest.MonkeyPatch, launcher: FakeLauncher
) -> None:
    """Its engine hangs at the restart, can't be killed, and nothing is started beside it."""
    async with daemon() as api:
        first = await api.launched(smollm2, name="tiny")
        object.__setattr__(api.app.settings, "ready_timeout_s", 0.5)
        launcher.args = ("--deaf", "--slow", "60")
        os.kill(first["pid"], signal.SIGKILL)
        row = await api.row("tiny", lambda row: row["state"] == "stopping")
        object.__setattr__(api.app.settings, "ready_timeout_s", 120)
        launcher.args = ()
        os.kill(row["pid"], signal.SIGKILL)
        await api.row("tiny", lambda now: now["state"] == "ready" and now["pid"] not in (None, row["pid"]))
        stuck.undo()
        assert await api.app.store.run(starts, api.app.store) == 3
