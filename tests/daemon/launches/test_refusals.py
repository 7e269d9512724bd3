"""Wrong wishes end before anything starts, and say what to give instead."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.launches.start import placement
from tests.daemon.conftest import FakeLauncher, Running


async def test_a_context_beyond_the_models_own_starts_no_engine(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        name = await api.launch(smollm2, name="long", context_tokens=1_000_192)
        steps = await api.progress(name)
        rows = await api.get("/v1/launches")
        asked = (await api.get("/v1/launches/long"))["error"]
        events = [json.loads(line) for line in (await api.http.get("/v1/events")).text.splitlines()]
    (failed,) = [one for one in events if one["kind"] == "failed"]
    assert [step["step"] for step in steps if step["step"] in ("start", "check")] == []
    assert steps[-1]["code"] == "bad_usage"
    assert "8192 tokens, 1000192 were asked for" in steps[-1]["message"]
    assert steps[-1]["hint"] == "give --context 8192 or less"
    assert rows == [], "what never was a launch is an event, not a row"
    assert failed["launch"] == "long"
    assert "8192 tokens, 1000192 were asked for" in failed["message"]
    assert asked["message"].startswith("no launch is called 'long'; its last try failed: ")


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param({"context_tokens": 1_000_192}, id="an impossible context"),
        pytest.param({"model": "smolm2-135m"}, id="a mistyped model"),
        pytest.param({"model": "gpt-oss-120b"}, id="a model that does not fit"),
    ],
)
async def test_a_launch_that_is_stopped_outlives_a_refused_one_of_its_name(
    daemon: Running, smollm2: Path, refused: dict[str, Any]
) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="mine", context_tokens=1024)
        await api.post("/v1/launches/mine/stop")
        before = await api.get("/v1/launches")
        stored = await api.app.store.run(api.app.store.launches.get, "mine")
        assert stored is not None
        await api.launch(refused.get("model", smollm2), name="mine", **_without_model(refused))
        assert (await api.progress("mine"))[-1]["step"] == "failed"
        assert await api.get("/v1/launches") == before
        again = await api.app.store.run(api.app.store.launches.get, "mine")
        assert again is not None
        assert replace(again, since=stored.since) == stored
        answer = await api.post("/v1/launches/mine/start")
        assert answer.status_code == 202
        assert (await api.progress("mine"))[-1]["step"] == "ready"
        detail = await api.get("/v1/launches/mine")
    assert (detail["launch"]["model"], detail["options"]["context_tokens"]) == (str(smollm2), 1024)


def _without_model(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "model"}


async def test_an_engine_that_fails_with_new_options_costs_the_old_ones_nothing(
    daemon: Running, smollm2: Path, launcher: FakeLauncher
) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="mine", context_tokens=1024)
        await api.post("/v1/launches/mine/stop")
        launcher.args = ("--die", "1")
        await api.launch(smollm2, name="mine", context_tokens=2048)
        assert (await api.progress("mine"))[-1]["code"] == "engine_failed"
        detail = await api.get("/v1/launches/mine")
    assert (detail["launch"]["state"], detail["options"]["context_tokens"]) == ("stopped", 1024)
    async with daemon() as api:
        assert await api.get("/v1/launches/mine") == detail | {"history": [], "conversations": None}


async def test_a_try_that_the_daemon_did_not_survive_still_replaces_nothing(
    daemon: Running, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(*_: object) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as under_way:
        async with daemon() as api:
            await api.launched(smollm2, name="mine", context_tokens=1024)
            await api.post("/v1/launches/mine/stop")
            under_way.setattr(placement, "resolve_models", endless)
            await api.launch("pypi:none==1#none.gguf", name="mine")
            record = await api.app.store.run(api.app.store.launches.get, "mine")
    assert record is not None
    assert record.replaced is not None
    async with daemon() as api:  # nobody watches this try, which can't heal
        detail = await api.row("mine", lambda row: row["state"] == "stopped")
        assert detail["model"] == str(smollm2)
        again = await api.app.store.run(api.app.store.launches.get, "mine")
    assert again is not None
    assert (again.request.options.context_tokens, again.replaced) == (1024, None)


async def test_a_launch_that_is_served_is_not_touched_by_other_options(
    daemon: Running, smollm2: Path
) -> None:
    async with daemon() as api:
        row = await api.launched(smollm2, name="mine", context_tokens=1024)
        answer = await api.post("/v1/launches", model="mine", context_tokens=2**30)
        assert (await api.get("/v1/launches/mine"))["launch"] == row
    assert answer.json()["error"]["message"] == "mine is already launched with other options"


async def test_a_second_stop_is_no_second_event(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        rows = [(await api.post("/v1/launches/tiny/stop")).json()["state"] for _ in range(2)]
        events = (await api.http.get("/v1/events")).text
    assert rows == ["stopped", "stopped"]
    assert events.count('"kind": "stopped"') == 1


async def test_an_address_without_a_file_is_bad_usage(daemon: Running) -> None:
    async with daemon() as api:
        answers = [await api.post("/v1/plan", model=url) for url in ("https://", "https://h/")]
    assert [answer.json()["error"]["code"] for answer in answers] == ["bad_usage", "bad_usage"]
    assert "https://h/ is not the address of a .gguf file" in answers[1].json()["error"]["message"]


async def test_two_names_for_one_model_are_two_launches(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        first = await api.launched(smollm2, name="one")
        second = await api.launched(smollm2, name="two")
        await api.post("/v1/launches/one/stop")
        left = (await api.get("/v1/launches/two"))["launch"]
    assert first["endpoint"] != second["endpoint"]
    assert left["state"] == "ready"
