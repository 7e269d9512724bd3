"""Daemons that die of what they restore, and restores that do not end: the API answers all the same."""

import asyncio
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon import turns
from daemon.app import Adapters
from daemon.machine import snapshot
from domain.launches.plan import LLAMA_CPP
from domain.machine.hardware import Hardware
from launchers.base import SearchPaths
from launchers.registry import choose
from tests.daemon.conftest import Running
from tests.daemon.test_child import Child, answer, start, until

__all__ = ["start"]  # the fixture

# An engine that kills its daemon when it is started for the launch "poison", as long as that file is there,
# and that never answers for the launch "slow".
ENGINE = """#!/bin/sh
case " $* " in *" --alias poison "*) [ -e {deadly} ] && kill -KILL $PPID && exit 1;; esac
case " $* " in *" --alias slow "*) exec sleep 3600;; esac
exec {engine} "$@"
"""


def deadly_engine(folder: Path) -> tuple[dict[str, str], Path]:
    """The environment of a daemon with that engine, and the file that makes it deadly. Its sandbox would not
    let it kill anything."""
    script, deadly = folder / "llama-server", folder / "deadly"
    deadly.touch()
    script.write_text(ENGINE.format(deadly=deadly, engine=choose(LLAMA_CPP, SearchPaths()).path))
    script.chmod(0o755)
    return {"NODE_DAEMON_LLAMA_SERVER": str(script), "NODE_DAEMON_ENGINE_SANDBOX": "false"}, deadly


def events(child: Child) -> list[dict[str, Any]]:
    with child.http() as http:
        return [json.loads(line) for line in http.get("/v1/events").text.splitlines()]


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_model_that_kills_its_daemon_is_quarantined_and_the_other_one_is_served(
    start: Callable[..., Child], smollm2: Path, tmp_path: Path
) -> None:
    environment, deadly = deadly_engine(tmp_path)
    body = {"model": str(smollm2), "context_tokens": 512, "threads": 1}
    first = start(**environment).up()
    first.post("/v1/launches", name="good", **body)
    ended = first.last_step("good")
    assert ended["step"] == "ready", ended
    before = first.row("good")
    first.post("/v1/launches", name="poison", **body)
    assert first.process.wait(300) == -signal.SIGKILL, "it died of the new launch"

    second = start(**environment)
    assert second.process.wait(300) == -signal.SIGKILL, "and once more, when that was restored"

    third = start(**environment).up()
    until(lambda: third.row("poison")["state"] == "failed")
    assert third.row("poison")["last_error"].startswith(
        "quarantined: the daemon died twice while it was starting the engine of poison; node-ctl start poison"
    )
    until(lambda: third.row("good")["state"] == "ready")
    assert third.row("good")["pid"] == before["pid"]
    assert "Paris" in answer(third.row("good"))
    assert [one["launch"] for one in events(third) if one["kind"] == "quarantined"] == ["poison"]

    deadly.unlink()
    third.post("/v1/launches/poison/start")
    assert third.last_step("poison")["step"] == "ready", "a start takes it out of quarantine"


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_a_daemon_was_at_when_it_was_told_to_stop_is_not_suspected(
    start: Callable[..., Child], smollm2: Path, tmp_path: Path
) -> None:
    environment, _ = deadly_engine(tmp_path)
    first = start(**environment).up()
    first.post("/v1/launches", name="slow", model=str(smollm2), context_tokens=512, threads=1)
    until(lambda: first.row("slow")["pid"] is not None)
    first.end()
    for _ in range(2):
        again = start(**environment).up()
        until(lambda child=again: child.row("slow")["state"] != "queued")  # type: ignore[misc]
        again.end()
    last = start(**environment).up()
    assert [one for one in events(last) if one["kind"] == "quarantined"] == []


async def test_while_a_restore_hangs_everything_answers(
    daemon: Running, adapters: Adapters, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "DISPLAYED_AFTER_S", 0.1)
    monkeypatch.setattr(turns, "TURN_S", 600.0)
    async with daemon() as api:
        for name in ("one", "two", "three"):
            await api.launched(smollm2, name=name)
    began, may_end = threading.Event(), threading.Event()
    probe = adapters.probe

    def hang() -> Hardware:
        began.set()
        may_end.wait(120)
        return probe()

    object.__setattr__(adapters, "probe", hang)
    async with daemon() as api:
        try:
            assert await asyncio.to_thread(began.wait, 60)
            rows = await api.get("/v1/launches")
            assert {row["state"] for row in rows} == {"queued"}
            assert all(row["waiting"].startswith("its turn to be restored") for row in rows)
            status = await api.get("/v1/status")
            assert status["launches"] == {"queued": 3}
            assert "the hardware is still being read" in [one["what"] for one in status["problems"]]
            assert (await api.get("/v1/doctor?check=problems"))[0]["check"] == "problems"
            stopped = await api.post("/v1/launches/two/stop")
            assert (stopped.json()["state"], stopped.json()["waiting"]) == ("stopped", None)
            assert (await api.post("/v1/launches/three/stop", forget=True)).status_code == 200
            same = await api.post("/v1/launches/one/start")
            assert (same.status_code, same.json()["created"]) == (200, False)
            other = await api.post("/v1/launches", model=str(smollm2), name="one", threads=2)
            assert other.json()["error"]["message"] == "one is already launched with other options"
        finally:
            may_end.set()
        await api.row("one", lambda row: row["state"] == "ready")
        assert [row["name"] for row in await api.get("/v1/launches")] == ["one", "two"]


async def test_hardware_that_kills_its_readers_is_left_unread_until_it_is_asked_for(
    daemon: Running, smollm2: Path
) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        store = api.app.store
        for _ in range(2):
            await store.run(store.in_flight.begin, snapshot.JOB, "reading the hardware", api.app.boot_id)
            await api.app.in_flight.judge()
        api.app.hardware_cache.hardware = None
        problem = "the hardware is not read: the daemon died twice while it was reading the hardware"
        assert problem in [one["what"] for one in (await api.get("/v1/status"))["problems"]]
        assert (await api.get("/v1/doctor?check=problems"))[0]["check"] == "problems"
        refused = await api.post("/v1/plan", model=str(smollm2))
        assert refused.json()["error"]["message"] == problem
        assert "probe --refresh" in refused.json()["error"]["hint"]
        assert (await api.get("/v1/launches/tiny"))["launch"]["state"] == "ready"
        assert (await api.get("/v1/probe?refresh=true"))["memory"]["total_bytes"]
        assert (await api.post("/v1/plan", model=str(smollm2))).status_code == 200
