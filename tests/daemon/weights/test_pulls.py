"""Pulls: shared, paused, cancelled, taken up by the next daemon; a launch joins what is on its way."""

import asyncio
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from daemon.weights import downloads
from domain.units import MIB
from tests.daemon.conftest import Api, Running
from tests.daemon.weights.pulling import (
    CRAWLING,
    NAME,
    closed_window,
    downloads_running,
    ended,
    kinds,
    moving,
    pulled,
    some,
)
from tests.rigs.hub import Hub


async def test_a_pull_ends_with_the_weights_and_their_name(api: Api) -> None:
    last = await ended(api, await pulled(api))
    assert last["step"] == "done", last
    (row,) = await api.get("/v1/models")
    assert (row["model"], row["running"], row["used_at"]) == (NAME, None, None)
    assert await kinds(api) == ["download_started", "download_done"]
    assert (await ended(api, await pulled(api)))["step"] == "done"
    assert len(await kinds(api)) == 2, "what is here is not fetched again"


async def test_events_tell_how_far_it_is(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "EVENT_EVERY_S", 0.0)
    assert (await ended(api, await pulled(api, limit="4MB/s")))["step"] == "done"
    answer = await api.http.get("/v1/events")
    told = [
        event
        for line in answer.text.splitlines()
        if (event := json.loads(line))["kind"] == "download_progress"
    ]
    form = re.compile(rf"{NAME}: \d MiB of 4 MiB, \d+\.\d MB/s, .+ left")
    assert any(form.search(event["message"]) for event in told), told


async def test_the_same_pull_again_joins_the_first(api: Api, hub: Hub) -> None:
    hub.faults.hold_after_bytes = [MIB]
    first = await pulled(api)
    await moving(api)
    again = await api.post("/v1/pulls", model=NAME)
    assert (again.status_code, again.json()) == (200, {"id": first, "created": False})
    other = await pulled(api, limit="50MB/s")
    await some(api, lambda last: last["bytes_done"], number=other)
    hub.go_on()
    assert {(await ended(api, number))["step"] for number in (first, other)} == {"done"}
    assert (await kinds(api)).count("download_started") == 1, "another request, the same files"


async def test_a_cancel_keeps_what_is_here_and_the_next_pull_goes_on(api: Api, hub: Hub) -> None:
    number = await pulled(api, limit=CRAWLING)
    await moving(api)
    row = (await api.post(f"/v1/pulls/{number}/cancel")).json()
    assert row["last"]["step"] == "stopped"
    (part,) = api.app.settings.models_dir.rglob("*.incomplete")
    assert part.stat().st_size
    assert (await ended(api, await pulled(api)))["step"] == "done"
    assert hub.gets("/cdn/")[-1].headers["Range"].startswith("bytes=")


async def test_who_cancels_does_not_end_it_for_another(api: Api, hub: Hub) -> None:
    hub.faults.hold_after_bytes = [MIB]
    first, other = await pulled(api), await pulled(api, limit="2MB/s")
    await some(api, lambda last: last["bytes_done"], number=other)
    await api.post(f"/v1/pulls/{first}/cancel")
    hub.go_on()
    assert (await ended(api, other))["step"] == "done"


async def test_a_launch_joins_a_pull(api: Api, hub: Hub, smollm2: Path) -> None:
    hub.add("o/smol-GGUF", {"smol-Q4_1.gguf": await asyncio.to_thread(smollm2.read_bytes)})
    model = "o/smol-GGUF:Q4_1"
    hub.faults.hold_after_bytes = [MIB]
    number = (await api.post("/v1/pulls", model=model)).json()["id"]
    await moving(api)
    name = await api.launch(model, context_tokens=512)
    await api.row(name, lambda row: row["state"] == "downloading")
    hub.go_on()
    steps = await api.progress(name)
    assert steps[-1]["step"] == "ready", steps[-1]
    assert (await ended(api, number))["step"] == "done"
    assert (await kinds(api)).count("download_started") == 1
    (row,) = await api.get("/v1/models")
    assert row["running"] == name
    assert row["used_at"]
    refused = await api.post("/v1/models/remove", model=model)
    assert refused.status_code == 423
    assert refused.json()["error"]["message"] == f"{model} is in use by {name}"


async def test_whoever_sees_a_pull_wait_finds_the_event_of_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = api.app.store.events.append

    def slow(*args: Any) -> Any:
        time.sleep(0.05)  # a disk that is busy
        return append(*args)

    monkeypatch.setattr(api.app.store.events, "append", slow)
    number = await pulled(api, window=closed_window())
    await some(api, lambda last: last["waiting"] == f"its window is {closed_window()}")
    assert await kinds(api) == ["download_started", "download_paused"]
    assert (await api.post(f"/v1/pulls/{number}/cancel")).json()["last"]["step"] == "stopped"


async def test_a_window_that_opens_lets_it_come(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hour = time.localtime().tm_hour
    open_now = f"{(hour - 1) % 24:02d}:00-{(hour + 2) % 24:02d}:00"
    now, before = downloads.minute_now, (hour - 2) % 24 * 60
    monkeypatch.setattr(downloads, "WINDOW_POLL_S", 0.01)
    monkeypatch.setattr(downloads, "minute_now", lambda: before)
    number = await pulled(api, window=open_now)
    await some(api, lambda last: last["waiting"])
    assert downloads_running() == 0, "nothing runs for it"
    monkeypatch.setattr(downloads, "minute_now", now)
    assert (await ended(api, number))["step"] == "done"
    assert await kinds(api) == ["download_started", "download_paused", "download_resumed", "download_done"]


async def test_what_can_not_be_is_told_with_its_code(api: Api) -> None:
    gone = await api.post("/v1/pulls", model="o/no-such")
    last = await ended(api, gone.json()["id"])
    assert (last["step"], last["code"]) == ("failed", "unknown_model")
    assert (await api.post("/v1/pulls", model=NAME, limit="fast")).status_code == 422
    assert (await api.post("/v1/pulls", model=NAME, window="soon")).status_code == 422
    missing = await api.post("/v1/pulls/99/cancel")
    assert missing.json()["error"]["message"] == "there is no pull 99"


async def test_offline_it_says_what_is_missing(daemon: Running, hub: Hub, settings: Settings) -> None:
    async with daemon() as api:
        object.__setattr__(api.app.settings, "offline", True)
        answer = await api.post("/v1/pulls", model=NAME)
        last = await ended(api, answer.json()["id"])
        assert (last["step"], last["code"]) == ("failed", "download_failed")
        assert "is not complete on this disk, and offline is set" in last["message"]


async def test_what_another_tool_has_is_used_and_never_removed(
    api: Api, tmp_path: Path, smollm2: Path
) -> None:
    theirs = tmp_path / "theirs" / "models--o--other-GGUF" / "snapshots" / ("0" * 40)
    theirs.mkdir(parents=True)
    shutil.copyfile(smollm2, theirs / "other-Q4_1.gguf")
    row = await api.launched("o/other-GGUF:Q4_1", context_tokens=512)
    assert row["state"] == "ready"
    (listed,) = await api.get("/v1/models")
    assert (listed["other_tool"], listed["running"]) == (True, "other-gguf")
    await api.post("/v1/launches/other-gguf/stop")
    refused = await api.post("/v1/models/remove", model="o/other-GGUF")
    assert "of another tool" in refused.json()["error"]["message"]
    assert os.listdir(theirs) == ["other-Q4_1.gguf"]  # noqa: PTH208 - names are enough


def test_the_limit_is_that_of_the_settings(settings: Settings) -> None:
    limited = settings.model_copy(update={"download_limit": "4MB/s"})
    assert limited.download_policy.limit_bytes_per_s == 4_000_000
    assert settings.download_policy.reserve_bytes == 1024 * MIB


async def test_pulls_wait_for_the_hours_of_a_schedule_and_go_on_without_it(api: Api) -> None:
    words = f"every day {closed_window()}"
    row = (await api.post("/v1/schedules", words=words, action="downloads")).json()
    number = await pulled(api)
    await some(api, lambda last: last["waiting"] == f"its schedule is {words}")
    await api.post(f"/v1/schedules/{row['id']}/remove")
    assert (await ended(api, number))["step"] == "done"
    assert await kinds(api) == ["download_started", "download_paused", "download_resumed", "download_done"]


async def test_a_schedule_breaks_off_a_pull_that_runs_and_keeps_what_it_fetched(api: Api) -> None:
    number = await pulled(api, limit=CRAWLING)
    await moving(api)
    words = f"every day {closed_window()}"
    row = (await api.post("/v1/schedules", words=words, action="downloads")).json()
    await some(api, lambda last: last["waiting"] == f"its schedule is {words}" and last["bytes_done"] > 0)
    assert downloads_running() == 0
    await api.post(f"/v1/schedules/{row['id']}/remove")
    await api.post(f"/v1/pulls/{number}/cancel")
