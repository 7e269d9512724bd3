"""A launch that waits, for the hub or for an engine's answer, keeps no other from anything."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog import names
from catalog.request import ModelRequest
from daemon.app import HUB_THREADS, Adapters
from daemon.isolation.models import ModelSources
from domain.models.model import ResolvedModel
from tests.daemon.conftest import Running

WAITING = HUB_THREADS + 3


@pytest.fixture
def hub_answers() -> Iterator[asyncio.Event]:
    answers = asyncio.Event()
    yield answers
    answers.set()


@pytest.fixture
def adapters(adapters: Adapters, hub_answers: asyncio.Event) -> Adapters:
    """A hub that answers nobody until it is told to; what lies on this disk is found at once."""
    resolve = adapters.resolve

    async def slow(sources: ModelSources, request: ModelRequest) -> tuple[ResolvedModel, ...]:
        if not isinstance(request.name.target, names.Local):
            await hub_answers.wait()
        return await resolve(sources, request)

    return replace(adapters, resolve=slow)


async def test_engines_are_restarted_and_models_launched_while_others_wait_for_the_hub(
    daemon: Running, smollm2: Path, hub_answers: asyncio.Event
) -> None:
    async with daemon() as api:
        row = await api.launched(smollm2, name="served")
        for number in range(WAITING):
            answer = await api.post("/v1/launches", model=f"owner/repo-{number}", name=f"waits-{number}")
            assert answer.status_code == 202
        os.kill(row["pid"], signal.SIGKILL)
        await api.row("served", lambda now: now["state"] == "ready" and now["pid"] not in (None, row["pid"]))
        assert (await api.launched(smollm2, name="another"))["state"] == "ready"
        assert (await api.get("/v1/models")) is not None
        stopped = (await api.post("/v1/launches/waits-0/stop")).json()
        assert stopped["state"] == "stopped"
        hub_answers.set()


async def test_a_daemon_that_restarts_serves_what_needs_no_hub(
    daemon: Running, smollm2: Path, hub_answers: asyncio.Event
) -> None:
    """Those that waited were accepted, so they are still wanted: none is lost."""
    async with daemon() as api:
        await api.launched(smollm2, name="served")
        for number in range(WAITING):
            await api.post("/v1/launches", model=f"owner/repo-{number}", name=f"waits-{number}")
    async with daemon() as api:
        await api.row("served", lambda row: row["state"] == "ready")
        states = {row["name"]: row["state"] for row in await api.get("/v1/launches")}
        assert len(states) == WAITING + 1
        assert all(state == "queued" for name, state in states.items() if name != "served")
        hub_answers.set()


async def test_an_engine_that_is_slow_to_check_a_plan_holds_up_no_other(
    daemon: Running, smollm2: Path, adapters: Adapters, tmp_path: Path
) -> None:
    asked, answers = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    other = tmp_path / "other.gguf"
    other.symlink_to(smollm2)
    real = adapters.ask_memory

    def slow(flags: Any, caps: Any, replica: Path) -> Any:
        if flags.context_tokens == 512:
            loop.call_soon_threadsafe(asked.set)
            answers.wait(600)
        return real(flags, caps, replica)

    async with daemon(replace(adapters, ask_memory=slow)) as api:
        await api.launch(smollm2, name="waits", context_tokens=512)
        await asyncio.wait_for(asked.wait(), 120)
        row = await api.launched(other, name="other", context_tokens=1024)
        assert row["state"] == "ready"
        answers.set()
        assert (await api.progress("waits"))[-1]["step"] == "ready"
