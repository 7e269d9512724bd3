"""Pulls by clients of Ollama's API."""

import asyncio
import json

import ollama
import pytest

from daemon.app import App
from daemon.events.progress_log import ProgressLog
from daemon.state.records import PullRequest
from daemon.weights import pulls
from daemon.weights.transfers import Pull
from domain.launches.launch import Progress, Step
from domain.launches.plan import LaunchOptions
from tests.daemon.gateway.conftest import Rig


async def test_a_pull_of_what_is_served_is_done_at_once(gateway: Rig, client: ollama.AsyncClient) -> None:
    await gateway.serve("smol")
    told = [line async for line in await client.pull("smol:latest", stream=True)]
    assert told[-1].status == "success"
    assert (await client.pull("smol")).status == "success"
    assert gateway.app.pulls == {}


@pytest.mark.parametrize("name", ["/etc/passwd", "http://127.0.0.1:1/x.gguf", "no such model", "../x.gguf"])
async def test_a_client_makes_the_daemon_open_no_path_and_no_url(gateway: Rig, name: str) -> None:
    refused = await gateway.post("/api/pull", model=name)
    assert refused.status_code in (400, 404)
    assert gateway.app.pulls == {}


def pull_of(monkeypatch: pytest.MonkeyPatch) -> ProgressLog:
    """The next pull does what a test says."""
    begun = Pull(1, PullRequest("smollm2-135m", LaunchOptions()))

    async def begin(app: App, request: PullRequest) -> tuple[Pull, bool]:
        assert request == begun.request
        return begun, True

    monkeypatch.setattr(pulls, "begin", begin)
    return begun.progress


async def test_a_pull_blocks_until_its_end_and_shows_its_bytes(
    gateway: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = pull_of(monkeypatch)
    asking = asyncio.create_task(gateway.post("/api/pull", model="smollm2-135m"))
    begun.say(Step.RESOLVE, "looking for smollm2-135m")
    begun.add(Progress(Step.DOWNLOAD, "", 0.0, bytes_done=5, bytes_total=9))
    begun.say(Step.DONE, "it is on disk")
    lines = [json.loads(line) for line in (await asking).text.splitlines()]
    assert lines[0] == {"status": "pulling manifest"}
    bar = next(line for line in lines if line.get("total"))
    assert (bar["completed"], bar["total"], bool(bar["digest"])) == (5, 9, True)
    assert lines[-1] == {"status": "success"}
    assert (await gateway.post("/api/pull", model="smollm2-135m", stream=False)).json() == lines[-1]


async def test_a_pull_that_fails_says_why_in_its_last_line(
    gateway: Rig, client: ollama.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull_of(monkeypatch).say(Step.FAILED, "the disk is full")
    with pytest.raises(ollama.ResponseError, match="the disk is full"):
        async for _ in await client.pull("smollm2-135m", stream=True):
            pass
    assert (await gateway.post("/api/pull", model="smollm2-135m", stream=False)).status_code == 500
