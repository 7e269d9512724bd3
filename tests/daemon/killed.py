"""A daemon in a process of its own, as a child that is killed: it serves one model with the fake engine,
prints its row and goes on. Its arguments are the settings, as JSON, and the model."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx

from config.loading import load
from config.settings import Settings
from daemon.main import running
from daemon.systemd_notify import SystemdNotifier
from tests.daemon.conftest import Api, FakeLauncher, fake_adapters
from tests.rigs import forked


def served_by_a_killed_daemon(settings: Settings, model: Path) -> dict[str, Any]:
    """The row of the launch ``tiny``, whose engine runs on alone. Blocks."""
    args = settings.model_dump_json(), str(model)
    reading, writing = os.pipe()
    with Path(os.devnull).open() as nothing, os.fdopen(reading) as told:
        child = forked.start(__name__, args, os.environ, (nothing.fileno(), writing, 2))
        os.close(writing)
        line = told.readline()
        child.kill()
        child.wait()
    return dict(json.loads(line))


async def serve(settings: Settings, model: Path) -> None:
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    transport = httpx.AsyncHTTPTransport(uds=str(settings.socket), verify=False)
    async with (
        running(settings, SystemdNotifier({}), fake_adapters(settings, FakeLauncher())) as app,
        httpx.AsyncClient(transport=transport, base_url="http://node-daemon", timeout=120) as http,
    ):
        print(json.dumps(await Api(http, app).launched(model, name="tiny")), flush=True)
        await asyncio.sleep(600)


def run() -> None:
    os.setsid()  # a ^C at the tests is not meant for it
    chosen = {key: value for key, value in json.loads(sys.argv[1]).items() if value is not None}
    asyncio.run(serve(load(**chosen), Path(sys.argv[2])))
