"""Engines that answer the gateway alone."""

import asyncio
from pathlib import Path

import httpx
import pytest

from config.settings import Settings
from daemon.app import real_adapters
from tests.daemon.conftest import Running, fork_server

CHAT = "/v1/chat/completions"
BODY = {"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]}


def shown_of(pid: int) -> bytes:
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


@pytest.mark.engine
@pytest.mark.slow
async def test_an_engine_answers_the_gateway_and_no_other_program_on_this_machine(
    daemon: Running, settings: Settings, smollm2: Path
) -> None:
    object.__setattr__(settings, "listen", "127.0.0.1:0")
    async with daemon(real_adapters(settings, fork_server())) as api:
        row = await api.launched(smollm2, name="tiny", context_tokens=2048)
        port = api.app.launches["tiny"].port
        [run] = await api.app.store.run(api.app.store.runs.unfinished)
        assert run.command.key, "a later daemon adopts it with its key"
        assert run.command.key.encode() not in await asyncio.to_thread(shown_of, row["pid"])
        assert row["endpoint"] == row["gateway"] != f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(timeout=120, trust_env=False) as http:
            assert (await http.post(f"http://127.0.0.1:{port}{CHAT}", json=BODY)).status_code == 401
            assert (await http.get(f"http://127.0.0.1:{port}/slots")).status_code == 401
            assert (await http.post(f"{row['endpoint']}{CHAT}", json=BODY)).status_code == 200
            assert (await http.get(f"{row['endpoint']}/props?model=tiny")).json()["chat_template"]
