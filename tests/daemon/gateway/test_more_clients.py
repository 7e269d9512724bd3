"""Clients that ``make setup-clients`` installs, against the real daemon and the real llama-server."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from config.settings import Settings
from daemon.app import real_adapters
from tests.conftest import ROOT
from tests.daemon.conftest import Running, fork_server

RIG = ROOT / "tests" / "rigs" / "clients"
CLIENTS = ROOT / ".cache" / "clients"
BIN = CLIENTS / "venv" / "bin"
PYPI = ["litellm", "langchain-openai", "langchain-ollama"]
NPM = ["@ai-sdk/openai-compatible", "@ai-sdk/anthropic", "ollama-ai-provider-v2", "ollama"]


@pytest.mark.clients
@pytest.mark.engine
async def test_larger_clients_and_those_of_npm_are_served(
    daemon: Running, settings: Settings, smollm2: Path
) -> None:
    object.__setattr__(settings, "listen", "127.0.0.1:0")
    # a module of npm is looked for beside the file that imports it
    script = Path(shutil.copy(RIG / "check_npm.mjs", CLIENTS / "npm"))
    async with daemon(real_adapters(settings, fork_server())) as api:
        base = (await api.launched(smollm2, name="smol", context_tokens=2048))["gateway"]
        assert await passed(BIN / "python", RIG / "check_pypi.py", base) == PYPI
        assert await passed(BIN / "node", script, base) == NPM


async def passed(*command: Path | str) -> list[str]:
    """The clients that a script says are served."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # LiteLLM would fetch a list of prices
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-3000:]
    return [line.removeprefix("ok ") for line in output.decode().splitlines() if line.startswith("ok ")]
