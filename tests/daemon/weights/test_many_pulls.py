"""Many pulls at once: those that wait take nothing that others need, those that run take turns."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType

from daemon.weights import transfers
from tests.catalog.build import gguf_file
from tests.daemon.conftest import Api, Running
from tests.daemon.weights.pulling import CRAWLING, closed_window, downloads_running
from tests.rigs.hub import Hub

TENSORS = {"token_embd.weight": ((2048, 1024), GGMLQuantizationType.Q8_0)}  # 2 MB
MANY = 40


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        data = gguf_file(tmp_path / "toy-Q8_0.gguf", tensors=TENSORS, quant=7).read_bytes()
        for number in range(MANY):
            running.add(f"o/toy{number}-GGUF", {"toy-Q8_0.gguf": data + bytes([number])})
        yield running


async def pull(api: Api, number: int, **body: object) -> int:
    answer = await api.post("/v1/pulls", model=f"o/toy{number}-GGUF:Q8_0", **body)
    assert answer.status_code == 202, answer.text
    return int(answer.json()["id"])


async def waiting(api: Api) -> list[str]:
    """Why, of each pull that waits."""
    rows = await api.get("/v1/pulls")
    return [row["last"]["waiting"] for row in rows if row["last"] and row["last"]["waiting"]]


async def until_they_wait(api: Api, fits: Callable[[list[str]], bool]) -> None:
    async with asyncio.timeout(120):
        while not fits(await waiting(api)):  # noqa: ASYNC110 - it is polled
            await asyncio.sleep(0.05)


async def serves_all_the_same(api: Api, model: Path, name: str) -> None:
    row = await api.launched(model, name=name)
    os.kill(row["pid"], signal.SIGKILL)
    again = await api.row(name, lambda row: row["state"] == "ready" and row["restarts"] == 1)
    assert again["pid"] != row["pid"]
    events = [json.loads(line) for line in (await api.http.get("/v1/events")).text.splitlines()]
    assert "died" in [event["kind"] for event in events if event["launch"] == name]
    assert (await api.http.get("/v1/models")).status_code == 200


@pytest.mark.slow
async def test_forty_that_wait_for_their_hours_leave_everything_else_working(
    daemon: Running, hub: Hub, smollm2: Path
) -> None:
    for life in ("first", "second"):
        async with daemon() as api:
            if life == "first":
                for number in range(MANY):
                    await pull(api, number, window=closed_window())
            await until_they_wait(api, lambda reasons: len(reasons) == MANY)
            assert downloads_running() == 0
            await serves_all_the_same(api, smollm2, life)


async def test_four_run_and_the_others_are_queued(daemon: Running, hub: Hub) -> None:
    async with daemon() as api:
        numbers = [await pull(api, number, limit=CRAWLING) for number in range(6)]
        await until_they_wait(api, lambda reasons: reasons == ["queued: 4 downloads are running"] * 2)
        assert downloads_running() == transfers.PROCESSES
        await api.post(f"/v1/pulls/{numbers[0]}/cancel")
        await api.post(f"/v1/pulls/{numbers[1]}/cancel")
        await until_they_wait(api, lambda reasons: not reasons)


async def test_what_a_launch_waits_for_is_not_queued(daemon: Running, hub: Hub, smollm2: Path) -> None:
    """Neither a download of its own, nor one that a pull has in the queue."""
    data = await asyncio.to_thread(smollm2.read_bytes)
    hub.add("o/smol-GGUF", {"smol-Q4_1.gguf": data})
    async with daemon() as api:
        for number in range(5):
            await pull(api, number, limit=CRAWLING)
        await api.post("/v1/pulls", model="o/smol-GGUF:Q4_1", limit="100MB/s")
        await until_they_wait(api, lambda reasons: len(reasons) == 2)
        await api.launched("o/smol-GGUF:Q4_1", context_tokens=512)
        assert len(await waiting(api)) == 1
