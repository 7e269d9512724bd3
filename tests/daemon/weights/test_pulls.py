"""Pulls: shared, paused, cancelled, taken up by the next daemon; a launch joins what is on its way."""

import asyncio
import json
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType

from config.settings import Settings
from daemon.weights import downloads
from domain.units import MIB
from tests.catalog.build import gguf_file
from tests.daemon.conftest import Api, Running
from tests.rigs.hub import Hub

TENSORS = {"token_embd.weight": ((4096, 1024), GGMLQuantizationType.Q8_0)}
NAME = "o/toy-GGUF:Q8_0"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"offline": False, "download_limit": "4MB/s"})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        model = gguf_file(tmp_path / "toy-Q8_0.gguf", tensors=TENSORS, quant=7)  # 4 MB: a second
        running.add("o/toy-GGUF", {"toy-Q8_0.gguf": model.read_bytes()})
        yield running


@pytest.fixture
async def api(daemon: Running, hub: Hub) -> AsyncIterator[Api]:
    async with daemon() as running:
        yield running


async def pulled(api: Api, **body: object) -> int:
    answer = await api.post("/v1/pulls", model=NAME, **body)
    assert answer.status_code == 202, answer.text
    return int(answer.json()["id"])


async def ended(api: Api, number: int) -> dict[str, Any]:
    answer = await api.http.get(f"/v1/pulls/{number}/progress")
    return dict(json.loads(answer.text.splitlines()[-1]))


async def kinds(api: Api) -> list[str]:
    answer = await api.http.get("/v1/events")
    return [json.loads(line)["kind"] for line in answer.text.splitlines()]


async def some(api: Api, fits: Callable[[dict[str, Any]], object]) -> None:
    """Until the last line of some pull ``fits``."""
    async with asyncio.timeout(15):
        while not any(row["last"] and fits(row["last"]) for row in await api.get("/v1/pulls")):  # noqa: ASYNC110 - it is polled
            await asyncio.sleep(0.02)


async def moving(api: Api) -> None:
    await some(api, lambda last: last["bytes_done"])


async def test_a_pull_ends_with_the_weights_and_their_name(api: Api) -> None:
    last = await ended(api, await pulled(api))
    assert last["step"] == "done", last
    (row,) = await api.get("/v1/models")
    assert (row["model"], row["running"], row["used_at"]) == (NAME, None, None)
    assert await kinds(api) == ["download_started", "download_done"]
    assert (await ended(api, await pulled(api)))["step"] == "done"
    assert len(await kinds(api)) == 2, "what is here is not fetched again"


async def test_events_tell_how_far_it_is(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "EVENT_EVERY_S", 0.3)
    assert (await ended(api, await pulled(api)))["step"] == "done"
    answer = await api.http.get("/v1/events")
    told = [
        event
        for line in answer.text.splitlines()
        if (event := json.loads(line))["kind"] == "download_progress"
    ]
    assert told
    assert re.search(rf"{NAME}: \d MiB of 4 MiB, \d+\.\d MB/s, .+ left", json.dumps(told[0]))


async def test_the_same_pull_again_joins_the_first(api: Api, hub: Hub) -> None:
    first = await pulled(api)
    again = await api.post("/v1/pulls", model=NAME)
    assert (again.status_code, again.json()) == (200, {"id": first, "created": False})
    other = await pulled(api, limit="50MB/s")
    assert {(await ended(api, number))["step"] for number in (first, other)} == {"done"}
    assert (await kinds(api)).count("download_started") == 1, "another request, the same files"


async def test_a_cancel_keeps_what_is_here_and_the_next_pull_goes_on(api: Api, hub: Hub) -> None:
    number = await pulled(api, limit="1MB/s")
    await moving(api)
    row = (await api.post(f"/v1/pulls/{number}/cancel")).json()
    assert row["last"]["step"] == "stopped"
    (part,) = api.app.settings.models_dir.rglob("*.incomplete")
    assert part.stat().st_size
    assert (await ended(api, await pulled(api)))["step"] == "done"
    assert hub.gets("/cdn/")[-1].headers["Range"].startswith("bytes=")


async def test_who_cancels_does_not_end_it_for_another(api: Api) -> None:
    first, other = await pulled(api), await pulled(api, limit="2MB/s")
    await moving(api)
    await api.post(f"/v1/pulls/{first}/cancel")
    assert (await ended(api, other))["step"] == "done"


async def test_a_launch_joins_a_pull(api: Api, hub: Hub, smollm2: Path) -> None:
    hub.add("o/smol-GGUF", {"smol-Q4_1.gguf": await asyncio.to_thread(smollm2.read_bytes)})
    model = "o/smol-GGUF:Q4_1"
    number = (await api.post("/v1/pulls", model=model, limit="30MB/s")).json()["id"]
    await moving(api)
    name = await api.launch(model, context_tokens=512)
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


async def test_the_next_daemon_goes_on_where_the_last_one_stopped(daemon: Running, hub: Hub) -> None:
    async with daemon() as api:
        await pulled(api, limit="1MB/s")
        await moving(api)
    async with daemon() as api:
        assert (await ended(api, 1))["step"] == "done"
        assert hub.gets("/cdn/")[-1].headers["Range"].startswith("bytes=")
        assert await api.app.store.run(api.app.store.pulls.all) == ()


async def test_a_pause_is_told_and_an_event(api: Api) -> None:
    """Out of hours: from two hours on, whatever the time is."""
    hour = (time.localtime().tm_hour + 2) % 24
    window = f"{hour:02d}:00-{(hour + 1) % 24:02d}:00"
    number = await pulled(api, window=window)
    await some(api, lambda last: last["waiting"] == f"it may come at {window} only")
    assert await kinds(api) == ["download_started", "download_paused"]
    assert (await api.post(f"/v1/pulls/{number}/cancel")).json()["last"]["step"] == "stopped"


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
    assert settings.terms.limit_bytes_per_s == 4_000_000
    assert settings.terms.reserve_bytes == 1024 * MIB
