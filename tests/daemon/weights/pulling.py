"""What tests of pulls share."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
from gguf import GGMLQuantizationType

from tests.daemon.conftest import Api

TENSORS = {"token_embd.weight": ((4096, 1024), GGMLQuantizationType.Q8_0)}
NAME = "o/toy-GGUF:Q8_0"
CRAWLING = "1KB/s"  # a quarter of a MiB, and minutes until the next one


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


def closed_window() -> str:
    """It opens in two hours, whatever the time is."""
    hour = (time.localtime().tm_hour + 2) % 24
    return f"{hour:02d}:00-{(hour + 1) % 24:02d}:00"


async def some(api: Api, fits: Callable[[dict[str, Any]], object], *, number: int | None = None) -> None:
    """Until the last line of some pull ``fits``, or of that ``number``."""

    def holds(row: dict[str, Any]) -> object:
        return number in (None, row["id"]) and row["last"] and fits(row["last"])

    async with asyncio.timeout(120):
        while not any(holds(row) for row in await api.get("/v1/pulls")):  # noqa: ASYNC110 - it is polled
            await asyncio.sleep(0.02)


async def moving(api: Api) -> None:
    await some(api, lambda last: last["bytes_done"])


def downloads_running() -> int:
    """Processes of this daemon that fetch."""
    count = 0
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            count += "catalog.download.worker" in child.cmdline()
    return count
