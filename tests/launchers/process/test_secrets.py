"""An engine runs other people's weights and templates: it gets no token of its owner."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from launchers import query
from launchers.command import Command, drop_secrets
from tests.launchers.conftest import MakeProcess

SECRET = {
    "HF_TOKEN": "hf_x",
    "HUGGING_FACE_HUB_TOKEN": "hf_x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "LLAMA_API_KEY": "x",
    "OPENAI_APIKEY": "x",
    "registry_password": "x",
    "SSH_AUTH_SOCK": "/run/agent",
    "PIP_INDEX_URL": "https://me:word@mirror.example/simple",
}
HARMLESS = {
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "0",
    "http_proxy": "http://proxy.example:3128",
    "OMP_NUM_THREADS": "2",
    "MONKEY": "x",
}


def test_secrets_are_removed_from_the_environment() -> None:
    assert drop_secrets({**SECRET, **HARMLESS}) == HARMLESS
    given = Command(("/e",), 1, "m", env={"HF_TOKEN": "of the plan itself"})
    assert given.environment(SECRET) == given.env


async def test_an_engine_is_started_without_them(
    engine_with: MakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**SECRET, **HARMLESS}.items():
        monkeypatch.setenv(name, value)
    process = engine_with()
    await process.ensure_ready(20)
    raw = await asyncio.to_thread(Path("/proc", str(process.pid), "environ").read_text)
    names = {entry.partition("=")[0] for entry in raw.split("\0")}
    assert not names & set(SECRET)
    assert set(HARMLESS) <= names


def test_a_binary_is_asked_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    argv = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")
    for env in (None, {"A": "b"}):
        assert "HF_TOKEN" not in json.loads(query.run(argv, timeout_s=20, env=env))
