"""A gateway on a port of its own, and engines whose answers a test writes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import httpx
import ollama
import pytest
from aiohttp import web

from config.settings import Settings
from daemon.app import Adapters, App, build_app
from daemon.gateway.gateway import Gateway, build_gateway
from daemon.gateway.listener.server import listening
from daemon.launches.launch import Engine, Launch
from daemon.launches.lifecycle import Lifecycle
from daemon.state.records import LaunchRequest
from daemon.state.store import Store
from domain.launches.launch import LaunchState
from domain.launches.plan import LaunchOptions
from domain.models.kinds import Kind
from launchers.command import Command
from launchers.process.engine import EngineProcess
from tests.daemon.state.test_store import PLAN

Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEEP_ALIVE_S = 0.05
HOLD_S = 20.0
EVENTS = [b'data: {"a":1}\n\n', b'data: {"b":"\xc3\xa9"}\n\n', b"data: [DONE]\n\n"]
PROPS = {"default_generation_settings": {"n_ctx": 1024}, "modalities": {"vision": True, "audio": False}}


async def answer_all(request: web.Request) -> web.StreamResponse:
    """As llama-server: /props, a stream where one is asked for, else what was asked."""
    if request.path == "/props":
        return web.json_response(PROPS)
    asked = await request.json()
    if not asked.get("stream"):
        return web.json_response({"path": request.path_qs, "asked": asked, "headers": dict(request.headers)})
    return await stream(request, EVENTS)


async def stream(request: web.Request, parts: list[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for part in parts:
        await response.write(part)
        await asyncio.sleep(0)
    await response.write_eof()
    return response


@dataclass
class Rig:
    """``base`` is the address of the gateway."""

    app: App
    gateway: Gateway
    http: httpx.AsyncClient
    base: str
    _undo: AsyncExitStack
    ports: dict[str, int] = field(default_factory=dict)

    async def serve(
        self,
        name: str,
        answer: Answerer = answer_all,
        *,
        model: str | None = None,
        kind: Kind = Kind.MODEL,
        state: LaunchState = LaunchState.READY,
    ) -> Launch:
        """A launch, with an engine that gives ``answer`` to every request."""
        plan = replace(PLAN, weights=replace(PLAN.weights, kind=kind), context_tokens=2048)
        launch = Launch(
            LaunchRequest(name, model or f"/m/{name}.gguf", LaunchOptions()), Lifecycle(state), plan=plan
        )
        self.app.launches[name] = launch
        await self.start_engine(launch, answer)
        return launch

    async def start_engine(self, launch: Launch, answer: Answerer) -> web.AppRunner:
        """Another engine for it, on another port."""
        engine = web.Application(client_max_size=1 << 30)
        engine.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(engine, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        self._undo.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        launch.engine = Engine(
            cast("EngineProcess", SimpleNamespace(pid=None, command=Command((), port, launch.name))),
            port,
            None,
        )
        return runner

    async def post(self, path: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        return await self.http.post(path, json=body, headers=headers)


@asynccontextmanager
async def running_gateway(
    settings: Settings, adapters: Adapters, *, keep_alive_s: float = KEEP_ALIVE_S, hold_s: float = HOLD_S
) -> AsyncIterator[Rig]:
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    settings = settings.model_copy(update={"listen": "127.0.0.1:0"})
    async with AsyncExitStack() as undo:
        store = await asyncio.to_thread(Store, settings.state_dir / "state.db")
        undo.push_async_callback(asyncio.to_thread, store.close)
        app = await asyncio.to_thread(build_app, settings, store, adapters)
        gateway = build_gateway(app, keep_alive_s=keep_alive_s, hold_s=hold_s)
        await undo.enter_async_context(listening(app, gateway))
        base = str(app.gateway.url)
        transport = httpx.AsyncHTTPTransport(
            verify=False
        )  # to read authorities takes 50 ms, and nothing asks them
        client = httpx.AsyncClient(base_url=base, transport=transport, timeout=60, trust_env=False)
        http = await undo.enter_async_context(client)
        yield Rig(app, gateway, http, base, undo)


@pytest.fixture
async def gateway(settings: Settings, adapters: Adapters) -> AsyncIterator[Rig]:
    async with running_gateway(settings, adapters) as rig:
        yield rig


@pytest.fixture
async def client(gateway: Rig) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(gateway.base, trust_env=False, verify=False) as found:
        yield found


def loads(line: bytes) -> Any:
    return json.loads(line.removeprefix(b"data: "))
