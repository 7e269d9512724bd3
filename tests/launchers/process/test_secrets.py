"""An engine runs other people's weights and templates: it gets no token of its owner."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from launchers import query
from launchers.command import Command
from launchers.environment import child_environment
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
NEEDED = {
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "0",
    "VK_DRIVER_FILES": "/usr/share/vulkan/icd.d/radeon_icd.json",
    "OMP_NUM_THREADS": "2",
    "LC_ALL": "C.UTF-8",
}
OTHERS = {
    "http_proxy": "http://proxy.example:3128",
    "NOTIFY_SOCKET": "/run/systemd/notify",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
    "LLAMA_ARG_HOST": "0.0.0.0",
    "PYTHONPATH": "/home/ada/python",
    "MONKEY": "x",
}


def test_an_engine_gets_what_engines_need_and_what_its_owner_names() -> None:
    everything = {**SECRET, "VLLM_API_KEY": "x", **NEEDED, **OTHERS}
    assert child_environment(everything, {}) == NEEDED
    named = child_environment(everything, {}, passed=("MONKEY", "HF_TOKEN"))
    assert named == {**NEEDED, "MONKEY": "x"}
    given = Command(("/e",), 1, "m", env={"HF_TOKEN": "of the plan itself"})
    assert given.environment(SECRET) == given.env


async def test_an_engine_is_started_without_them(
    engine_with: MakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**SECRET, **NEEDED, **OTHERS}.items():
        monkeypatch.setenv(name, value)
    process = engine_with()
    await process.ensure_ready(120)
    raw = await asyncio.to_thread(Path("/proc", str(process.pid), "environ").read_text)
    names = {entry.partition("=")[0] for entry in raw.split("\0")}
    assert not names & (set(SECRET) | set(OTHERS))
    assert set(NEEDED) <= names


def test_a_binary_is_asked_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    argv = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")
    for env in (None, {"A": "b"}):
        assert "HF_TOKEN" not in json.loads(query.run(argv, timeout_s=120, env=env))
