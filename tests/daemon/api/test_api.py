"""The API's own manners: shapes, refusals, streams; plans, estimates."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from daemon.machine.bandwidth import BANDWIDTH
from domain.machine.hardware import Hardware, Memory
from domain.serialization import to_json
from domain.units import MIB
from tests.daemon.conftest import FakeLauncher, Running, fake_adapters


async def test_status_and_probe_tell_of_the_daemon_and_the_machine(
    daemon: Running, settings: Settings
) -> None:
    async with daemon() as api:
        status, probe = await api.get("/v1/status"), await api.get("/v1/probe")
        bandwidth = await api.app.store.recall_of_boot(float, BANDWIDTH, api.app.boot_id)
    assert status["socket"] == str(settings.socket)
    assert status["launches"] == {}
    assert probe["memory"]["total_bytes"] > 0
    assert (probe["memory"]["bandwidth_bytes_per_s"], probe["memory"]["bandwidth_source"]) == (
        20e9,
        "measured",
    )
    assert probe["engines"][0]["version"] == "fake"
    assert bandwidth == 20e9


async def test_the_openapi_names_every_path_of_the_contract(daemon: Running) -> None:
    async with daemon() as api:
        paths = (await api.get("/openapi.json"))["paths"]
    assert {
        "/v1/status",
        "/v1/probe",
        "/v1/doctor",
        "/v1/doctor/report",
        "/v1/profile",
        "/v1/plan",
        "/v1/search",
        "/v1/settings",
        "/v1/catalogue",
        "/v1/catalogue/revert",
        "/v1/catalogue/update",
        "/v1/offers",
        "/v1/compare",
        "/v1/models",
        "/v1/models/adopt",
        "/v1/models/gc",
        "/v1/models/pin",
        "/v1/models/remove",
        "/v1/models/verify",
        "/v1/pulls",
        "/v1/pulls/{number}/cancel",
        "/v1/pulls/{number}/progress",
        "/v1/estimate",
        "/v1/launches",
        "/v1/launches/{name}",
        "/v1/launches/{name}/progress",
        "/v1/launches/{name}/restart",
        "/v1/launches/{name}/start",
        "/v1/launches/{name}/stop",
        "/v1/launches/{name}/log",
        "/v1/launches/{name}/prove",
        "/v1/events",
        "/v1/shutdown",
        "/v1/keys",
        "/v1/keys/revoke",
        "/v1/lan",
        "/v1/engines",
        "/v1/engines/check",
        "/v1/memory",
        "/v1/history",
        "/v1/schedules",
        "/v1/schedules/{number}/remove",
        "/v1/notifications",
        "/v1/notifications/test",
    } == set(paths)


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "said"),
    [
        pytest.param("/v1/plan", {"model": "smolm2-135m"}, 404, "unknown_model", "smolm2", id="unknown"),
        pytest.param("/v1/plan", {"modle": "x"}, 422, "bad_usage", "modle", id="a key that is none"),
        pytest.param(
            "/v1/plan", {"model": "x", "parallel": 0}, 422, "bad_usage", "parallel", id="zero slots"
        ),
        pytest.param(
            "/v1/plan", {"model": "x", "on": {"gpus": 3}}, 422, "bad_usage", "Hardware.gpus", id="bad profile"
        ),
        pytest.param(
            "/v1/plan",
            {"model": "x", "on": {"cpu": {"quota_cpus": 0}}},
            422,
            "bad_usage",
            "cpu.quota_cpus can't be 0",
            id="a box that cannot be",
        ),
        pytest.param(
            "/v1/plan",
            {"model": "x", "on": {"memory": {"bandwidth_bytes_per_s": 10**400}}},
            422,
            "bad_usage",
            "Memory.bandwidth_bytes_per_s: a number of 1329 bits",
            id="a rate that cannot be",
        ),
        pytest.param("/v1/plan", {"model": "gpt-oss-120b"}, 409, "does_not_fit", "GiB", id="too large"),
        pytest.param("/v1/launches/x/stop", {}, 404, "unknown_launch", "'x'", id="unknown launch"),
        pytest.param("/v1/nowhere", {}, 404, "bad_usage", "/v1/nowhere", id="no such path"),
    ],
)
async def test_a_refusal_has_a_code_a_message_and_a_hint(
    daemon: Running, path: str, body: dict[str, Any], status: int, code: str, said: str
) -> None:
    async with daemon() as api:
        small = Hardware(memory=Memory(total_bytes=8 * 1024**3, available_bytes=6 * 1024**3))
        if code == "does_not_fit":
            body = {**body, "on": to_json(small)}
        answer = await api.http.post(path, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert said in error["message"]
    assert error["hint"]


async def test_the_history_is_read_over_the_api(
    daemon: Running, settings: Settings, launcher: FakeLauncher
) -> None:
    of = settings.model_copy(update={"telemetry": True})
    async with daemon(fake_adapters(of, launcher), of=of) as api, asyncio.timeout(100):
        while not (found := await api.get("/v1/history?since_s=600&device=host"))["series"]:  # noqa: ASYNC110 - it is polled
            await asyncio.sleep(0.02)
        refused = [
            (await api.http.get(f"/v1/history?{query}")).json()["error"]["code"]
            for query in (
                "what=fans",
                "device=GPU99",
                "launch=none",
                "since_s=9e6",
                "since_s=nan",
                "points=1",
            )
        ]
    memory = next(one for one in found["series"] if one["metric"] == "memory")
    assert (memory["name"], memory["unit"]) == ("host", "bytes")
    assert len(memory["points"]) == (found["until_s"] - found["since_s"]) / found["step_s"]
    assert memory["points"][0] is None, "the daemon did not run ten minutes ago"
    assert set(refused) == {"bad_usage"}


async def test_a_model_that_does_not_fit_names_one_that_would(daemon: Running) -> None:
    small = to_json(Hardware(memory=Memory(total_bytes=24 * 1024**3, available_bytes=22 * 1024**3)))
    async with daemon() as api:
        answer = await api.post("/v1/plan", model="gpt-oss-120b", on=small)
    assert "would fit" in answer.json()["error"]["hint"]


async def test_a_plan_that_does_not_fit_is_explained_where_that_is_asked_for(daemon: Running) -> None:
    small = to_json(Hardware(memory=Memory(total_bytes=24 * 1024**3, available_bytes=22 * 1024**3)))
    async with daemon() as api:
        plain = await api.post("/v1/plan", model="gpt-oss-120b", on=small)
        answer = await api.post("/v1/plan", model="gpt-oss-120b", on=small, explain=True)
    assert "explanation" not in plain.json()["error"]
    explanation = answer.json()["error"]["explanation"]
    assert explanation["short"][-1].endswith(" short")
    assert any(line.startswith("of the same family: gpt-oss-20b (") for line in explanation["instead"])
    assert [line.partition(" ")[0] for line in explanation["holds"]] == [
        "this",
        "arc-b580",
        "rtx-5070-ti",
        "rtx-3090",
    ]


@pytest.mark.parametrize("has_length", [True, False])
async def test_a_body_larger_than_any_request_is_refused(daemon: Running, has_length: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b" " * MIB

    async with daemon() as api:
        answer = await api.http.post("/v1/plan", content=b" " * 8 * MIB if has_length else chunks())
        after = await api.http.get("/v1/status")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "bad_usage")
    assert "more than 4 MiB" in answer.json()["error"]["message"]
    assert after.status_code == 200


async def test_a_plan_and_the_estimate_of_its_command_agree(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        plan = (await api.post("/v1/plan", model=str(smollm2), threads=1)).json()
        args = ["-ngl", "0", "-c", "2048", "-np", "1", "-t", "1"]
        estimate = (await api.post("/v1/estimate", model=str(smollm2), args=args)).json()
        two = (await api.post("/v1/estimate", model=str(smollm2), args=["-ngl", "99"], gpus=2)).json()
    assert plan["engine"] == estimate["engine"] == "llama.cpp"
    assert plan["weights"]["location"] == str(smollm2.parent)
    assert estimate["memory"][0]["device"] == "host"
    assert [row["device"] for row in two["memory"]] == ["GPU0", "GPU1", "host"]
    assert any("of " in note for note in estimate["notes"])


async def test_a_log_and_the_events_are_read_back(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        path = api.app.log_path("tiny")
        await asyncio.to_thread(path.write_text, "one\ntwo\nthree\n")
        log = await api.http.get("/v1/launches/tiny/log?lines=2")
        events = await api.http.get("/v1/events")
        later = await api.http.get("/v1/events?since=1")
        await api.post("/v1/launches/tiny/stop")
        last = await api.http.get("/v1/events?last=1")
        none = await api.http.get("/v1/events?last=0")
        beyond = await api.http.get(f"/v1/events?since={2**63 - 1}")
        refused = await api.http.get(f"/v1/events?since={2**63}")
    assert log.text == "two\nthree\n"
    assert '"kind": "ready"' in events.text
    assert later.text == ""
    assert [json.loads(line)["kind"] for line in last.text.splitlines()] == ["stopped"]
    assert none.text == beyond.text == ""
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bad_usage")
