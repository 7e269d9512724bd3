"""A context is filled in the real engine that serves it; what it held, and where it failed, is kept."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from config.settings import Settings
from daemon.app import Adapters, App, real_adapters
from daemon.launches.launch import Engine, Launch
from daemon.launches.lifecycle import Lifecycle
from daemon.launches.proof.prove import begin, prove
from daemon.launches.start.watch import Watch
from daemon.machine import snapshot
from daemon.planning.speed_history import load_calibration
from daemon.state.records import LaunchRequest
from domain.launches.launch import LaunchState
from domain.launches.plan import LaunchOptions
from launchers.command import Command
from launchers.process.engine import EngineProcess
from launchers.readiness import client
from probes.benchmarks.disk import ReadRate
from tests.daemon.conftest import FAKE, Api, Running, fork_server, known_bandwidth
from tests.daemon.state.test_store import PLAN

WINDOW = 1024
DIES_AT = FAKE.parent / "dies_at_depth.py"


@pytest.fixture
def real(settings: Settings) -> Adapters:
    """The engine of this environment; RAM and disk are not measured."""
    return replace(
        real_adapters(settings, fork_server()),
        measure_bandwidth=known_bandwidth,
        measure_read_rate=lambda: ReadRate(2e9, of_weights=True),
    )


async def steps(api: Api, **body: object) -> AsyncIterator[dict[str, Any]]:
    async with api.http.stream("POST", "/v1/launches/tiny/prove", json=body) as answer:
        async for line in answer.aiter_lines():
            yield json.loads(line)


async def proved(api: Api, **body: object) -> list[dict[str, Any]]:
    """Once no other proof is under way: one whose client has gone ends a moment later."""
    async with asyncio.timeout(120):
        while "error" in (found := [step async for step in steps(api, **body)])[-1]:
            assert "is being proved already" in found[-1]["error"]["message"]
            await asyncio.sleep(0.05)
    return found


async def events(api: Api) -> dict[str, str]:
    answer = await api.http.get("/v1/events")
    return {event["kind"]: event["message"] for event in map(json.loads, answer.text.splitlines())}


def test_a_client_that_is_gone_before_the_first_step_does_not_keep_others_from_proving() -> None:
    engine = Engine(cast("EngineProcess", SimpleNamespace(pid=None)), 1, None)
    plan = replace(PLAN, context_tokens=4096)
    request = LaunchRequest("tiny", "/m/tiny.gguf", LaunchOptions())
    launch = Launch(request, Lifecycle(LaunchState.READY), plan=plan, engine=engine)
    app = cast("App", SimpleNamespace(launches={"tiny": launch}))
    for _ in range(2):
        found, target_tokens = begin(app, "tiny", None)
        prove(app, found, target_tokens)  # nobody reads its steps


@pytest.mark.engine
async def test_a_proof_is_stored_and_later_plans_expect_its_speeds(
    daemon: Running, real: Adapters, smollm2: Path
) -> None:
    async with daemon(real) as api:
        await api.launched(smollm2, name="tiny", context_tokens=WINDOW)
        async with aclosing(steps(api)) as interrupted:
            async for step in interrupted:
                if "filling" in step["message"]:
                    assert step["message"].endswith(" s or more")
                    break  # as Ctrl-C does
        last = (await proved(api, depth_tokens=400))[-1]
        detail = await api.get("/v1/launches/tiny")
        machine = await snapshot.probe_now(api.app)
        runs = (await load_calibration(api.app, machine)).runs
        told = await events(api)
        await api.post("/v1/launches/tiny/restart")
        row = await api.row("tiny", lambda row: row["state"] == "ready")
    assert last["step"] == "done", last
    proof = detail["proof"]
    assert [found["depth_tokens"] for found in proof["figures"]] == [100, 200, 300, 400]
    assert all(found["decode_tokens_per_s"] > 0 for found in proof["figures"])
    assert all(found["prefill_tokens_per_s"] > 0 for found in proof["figures"])
    assert 0 < proof["host_held_bytes"] < 2 * proof["host_planned_bytes"]
    assert [run.depth for run in runs[1:]] == [0, 200, 300, 400], "after the run of the start"
    assert "proven to a depth of 400 tokens" in told["proven"]
    contexts = [row[f"{part}context_tokens"] for part in ("", "loaded_", "proven_")]
    assert contexts == [WINDOW, WINDOW, 400], "a later start with this engine knows it"
    assert row["restarts"] == 0


@pytest.mark.engine
async def test_it_waits_for_the_requests_of_others(daemon: Running, real: Adapters, smollm2: Path) -> None:
    async with daemon(real) as api:
        await api.launched(smollm2, name="tiny", context_tokens=WINDOW)
        process = api.app.launches["tiny"].process
        assert process is not None
        async with client(process.command) as http, asking(http) as answer:
            found = steps(api, depth_tokens=256)
            first = [(await anext(found))["message"] for _ in range(2)]
            twice = await api.post("/v1/launches/tiny/prove")
            await answer.aclose()
            rest = [step["step"] async for step in found]
    assert first[1] == "waiting until another request is answered"
    assert twice.status_code == 423
    assert "is being proved already" in twice.json()["error"]["message"]
    assert rest[-1] == "done"


def asking(http: httpx.AsyncClient) -> Any:
    """A client's request that lasts until it is closed."""
    body = {"prompt": "One, two,", "max_tokens": 900, "ignore_eos": True, "stream": True}
    return http.stream("POST", "/v1/completions", json=body)


@pytest.mark.engine
async def test_an_engine_that_fails_on_the_way_serves_again_with_the_next_smaller_context(
    daemon: Running, real: Adapters, smollm2: Path, tmp_path: Path
) -> None:
    armed = tmp_path / "armed"

    def dying(command: Command, watch: Watch) -> EngineProcess:
        wrapped = (sys.executable, str(DIES_AT), "300", "512", str(armed), *command.argv)
        return real.new_process(replace(command, argv=wrapped), watch)

    async with daemon(replace(real, new_process=dying)) as api:
        before = await api.launched(smollm2, name="tiny", context_tokens=WINDOW)
        armed.touch()
        last = (await proved(api))[-1]
        row = await api.row("tiny", lambda row: row["state"] == "ready")
        told = await events(api)
        proof = (await api.get("/v1/launches/tiny"))["proof"]
        unasked = (await api.post("/v1/plan", model=str(smollm2), threads=1)).json()
        asked = (await api.post("/v1/plan", model=str(smollm2), threads=1, context_tokens=WINDOW)).json()
    assert (last["step"], last["code"]) == ("failed", "engine_failed")
    assert f"in a context of {WINDOW}, it is planned again with at most 512" in last["message"]
    assert last["message"] == told["proof_failed"]
    assert row["pid"] != before["pid"]
    assert (row["context_tokens"], row["loaded_context_tokens"]) == (512, 512)
    assert f"context 512 (was {WINDOW})" in told["replanned"]
    assert 230 < proof["failed_tokens"] <= 460
    assert proof["proven_tokens"] == 230
    assert unasked["context_tokens"] == 512
    assert any("the engine failed at a depth of" in reason for reason in unasked["reasons"])
    assert asked["context_tokens"] == WINDOW, "a longer one can still be asked for"
    assert any("was asked for, though" in reason for reason in asked["reasons"])


async def test_what_cannot_be_proved_is_refused(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        absent = await api.post("/v1/launches/tiny/prove")
        await api.launched(smollm2, name="tiny", context_tokens=WINDOW)
        deep = await api.post("/v1/launches/tiny/prove", depth_tokens=5000)
        shallow = await api.post("/v1/launches/tiny/prove", depth_tokens=1)
        await api.post("/v1/launches/tiny/stop")
        stopped = await api.post("/v1/launches/tiny/prove")
    assert absent.status_code == 404
    assert (deep.status_code, shallow.status_code) == (422, 422)
    assert "give a --depth from 256 to 992" in deep.json()["error"]["hint"]
    assert stopped.status_code == 423
    assert "only a launch that serves" in stopped.json()["error"]["message"]


async def test_an_engine_that_splits_no_text_is_left_alone(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        before = await api.launched(smollm2, name="tiny", context_tokens=WINDOW)
        last = (await proved(api))[-1]
        row = await api.row("tiny", lambda row: row["state"] == "ready")
    assert (last["step"], last["code"]) == ("failed", "engine_failed")
    assert row["pid"] == before["pid"]
