"""What an engine said before it ended reaches its owner: progress, ps, events, the API's errors."""

import asyncio
import json
import os
import shutil
import signal
import struct
from pathlib import Path

import pytest

from catalog.request import ModelRequest
from config.settings import Settings
from daemon.app import Adapters, real_adapters
from daemon.isolation.models import ModelSources
from domain.errors import EngineError
from domain.models.model import ResolvedModel
from domain.units import MIB
from tests.daemon.conftest import Api, FakeLauncher, Running, fork_server

SAID = "main: out of plutonium"


async def events(api: Api) -> list[str]:
    answer = await api.http.get("/v1/events")
    return [json.loads(line)["message"] for line in answer.text.splitlines()]


async def test_the_last_line_of_an_engine_is_told_everywhere(
    daemon: Running, smollm2: Path, launcher: FakeLauncher
) -> None:
    launcher.args = ("--say", SAID, "--die", "3")
    async with daemon() as api:
        await api.launch(smollm2, name="tiny")
        last = (await api.progress("tiny"))[-1]
        row = (await api.get("/v1/launches/tiny"))["launch"]
        told = await events(api)
        log = (await api.http.get("/v1/launches/tiny/log")).text
    assert last["code"] == "engine_failed"
    assert "exited 3 while starting" in last["message"]
    assert last["line"] == SAID
    assert row["last_error"] == f"{last['message']}: {SAID}"
    assert row["last_error"] in told
    assert SAID in log


async def test_an_engine_that_dies_later_is_told_with_its_line(
    daemon: Running, smollm2: Path, launcher: FakeLauncher
) -> None:
    async with daemon() as api:
        row = await api.launched(smollm2, name="tiny")
        launcher.args = ("--say", SAID, "--die", "3")
        os.kill(row["pid"], signal.SIGKILL)
        again = await api.row("tiny", lambda row: row["restarts"] >= 3)
        assert SAID in again["last_error"]
        assert any(
            f"exited 3 while starting: {SAID}; next try in" in message for message in await events(api)
        )


async def test_an_error_of_the_api_has_the_line_beside_message_and_hint(
    daemon: Running, adapters: Adapters, smollm2: Path
) -> None:
    async def unanswered(sources: ModelSources, request: ModelRequest) -> tuple[ResolvedModel, ...]:
        raise EngineError(
            "llama.cpp exited 127", hint="install it again", engine_output="libfoo.so: not found"
        )

    object.__setattr__(adapters, "resolve", unanswered)
    async with daemon() as api:
        answer = await api.post("/v1/plan", model=str(smollm2))
        other = await api.http.get("/v1/launches/absent")
    assert answer.status_code == 502
    assert answer.json()["error"] == {
        "code": "engine_failed",
        "message": "llama.cpp exited 127",
        "hint": "install it again",
        "line": "libfoo.so: not found",
    }
    assert other.json()["error"]["line"] == ""


@pytest.mark.engine
async def test_the_real_engine_says_what_it_cannot_read(
    daemon: Running, adapters: Adapters, settings: Settings, smollm2: Path, tmp_path: Path
) -> None:
    """A header that the planner understands, and a tokenizer of which no build has heard."""
    real = real_adapters(settings, fork_server())
    for name in ("launchers", "engines", "engine"):
        object.__setattr__(adapters, name, getattr(real, name))
    model = tmp_path / "odd.gguf"
    await asyncio.to_thread(with_another_tokenizer, smollm2, model)
    async with daemon() as api:
        await api.launch(model, name="odd")
        steps = await api.progress("odd")
    assert [step["step"] for step in steps if step["step"] in ("download", "start")] == []
    assert steps[-1]["message"] == (
        "this build of llama-server can't use the vocabulary: unknown pre-tokenizer type: 'smollx'"
    )
    assert "error loading model" in steps[-1]["line"]


def with_another_tokenizer(model: Path, copy: Path) -> None:
    shutil.copyfile(model, copy)
    name = b"tokenizer.ggml.pre" + struct.pack("<IQ", 8, 6)  # a string of six letters
    with copy.open("r+b") as file:
        place = file.read(4 * MIB).index(name + b"smollm")
        file.seek(place + len(name))
        file.write(b"smollx")
