"""Launches on demand: a request starts them, idle ones stop, and room is made for one by another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.settings import Settings
from daemon.app import Adapters
from daemon.launches.demand import park
from domain.units import MIB
from tests.daemon.conftest import Api, FakeLauncher, Running

CHAT = "/v1/chat/completions"
HELLO: list[dict[str, str]] = [{"role": "user", "content": "Name the capital of France."}]
ON_DEMAND = {"policy": "on-demand", "context_tokens": 512}
IDLE_FOR_LONG_S = -1e9


@dataclass
class Box:
    """A machine with ``free_bytes`` of RAM, and the daemon that serves there."""

    api: Api
    http: httpx.AsyncClient

    async def ask(self, model: str, **body: object) -> httpx.Response:
        return await self.http.post(CHAT, json={"model": model, "messages": HELLO, **body})

    async def state(self, name: str) -> tuple[str, bool]:
        row = (await self.api.get(f"/v1/launches/{name}"))["launch"]
        return row["state"], row["starts_on_request"]

    async def stop_idle(self, name: str) -> None:
        """Returns once it has stopped: the daemon's own look may have ordered it a moment before."""
        await park.stop_idle(self.api.app)
        await self.api.row(name, lambda row: row["state"] == "stopped")

    async def events(self, kind: str, name: str) -> list[str]:
        answer = await self.api.http.get("/v1/events")
        rows = [httpx.Response(200, content=line).json() for line in answer.text.splitlines()]
        return [row["message"] for row in rows if (row["kind"], row["launch"]) == (kind, name)]


Boxes = Callable[..., Any]


@pytest.fixture
def box(daemon: Running, settings: Settings, adapters: Adapters) -> Boxes:
    @asynccontextmanager
    async def start(free_bytes: int = 64 << 30, **changed: object) -> AsyncIterator[Box]:
        of = settings.model_copy(
            update={"listen": "127.0.0.1:0", "host_reserve_bytes": 0, "restart_delay_s": 30.0, **changed}
        )
        hardware = await asyncio.to_thread(adapters.probe)
        memory = replace(hardware.memory, available_bytes=free_bytes, cgroup_available_bytes=None)
        small = replace(hardware, memory=memory, gpus=())
        async with (
            daemon(replace(adapters, probe=lambda: small, probe_awake=lambda: small), of=of) as api,
            httpx.AsyncClient(base_url=str(api.app.gateway.url), timeout=120, trust_env=False) as http,
        ):
            yield Box(api, http)

    return start


async def needed_bytes(api: Api, name: str) -> int:
    return sum(row["needed_bytes"] for row in (await api.get(f"/v1/launches/{name}"))["launch"]["memory"])


async def test_an_idle_model_stops_and_a_request_starts_it(box: Boxes, smollm2: Path) -> None:
    async with box() as here:
        name = (await here.api.launched(smollm2, name="a", **ON_DEMAND))["name"]
        await park.stop_idle(here.api.app)
        assert await here.state(name) == ("ready", False)
        here.api.app.launches[name].use.last_s = IDLE_FOR_LONG_S
        await here.stop_idle(name)
        assert await here.state(name) == ("stopped", True)
        listed = (await here.http.get("/v1/models")).json()["data"]
        assert [(row["id"], row["state"], row["status"]["value"]) for row in listed] == [
            ("a", "stopped", "unloaded")
        ]
        tags = (await here.http.get("/api/tags")).json()["models"]
        assert [row["name"] for row in tags] == ["a"]
        answers = await asyncio.gather(*(here.ask(name) for _ in range(10)))
        assert [answer.status_code for answer in answers] == [200] * 10
        assert len(await here.events("ready", name)) == 2
        assert "until a request comes: it was idle" in (await here.events("stopped", name))[0]


async def test_a_request_for_one_model_stops_an_idle_other_but_never_a_busy_one(
    box: Boxes, smollm2: Path
) -> None:
    async with box() as here:
        await here.api.launched(smollm2, name="a", **ON_DEMAND)
        await here.api.launched(smollm2, name="b", **ON_DEMAND)
        both = await needed_bytes(here.api, "a") + await needed_bytes(here.api, "b")
        app = here.api.app
        await park.park(app.launches["a"], "the test")
        await park.park(app.launches["b"], "the test")
    async with box(free_bytes=both - 20 * MIB) as here:
        assert (await here.ask("a")).status_code == 200
        use = here.api.app.launches["a"].use
        use.begin(0)
        refused = await here.ask("b")
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (503, True)
        message = refused.json()["error"]["message"]
        assert "host: " in message
        assert "by a (busy)" in message
        assert await here.state("b") == ("stopped", True)
        assert await here.events("failed", "b") == []
        use.end(0)
        assert (await here.ask("b")).status_code == 200
        assert await here.state("a") == ("stopped", True)
        assert "b needs its memory" in (await here.events("stopped", "a"))[-1]
        use.keep_s = None
        assert (await here.ask("a")).status_code == 200
        assert await here.state("b") == ("stopped", True)


async def test_what_its_owner_launches_takes_the_place_of_idle_ones_and_never_of_others(
    box: Boxes, smollm2: Path
) -> None:
    async with box() as here:
        await here.api.launched(smollm2, name="a", **ON_DEMAND)
        one = await needed_bytes(here.api, "a")
        await here.api.post("/v1/launches/a/stop", forget=True)
    async with box(free_bytes=one + one // 4) as here:
        await here.api.launched(smollm2, name="a", **ON_DEMAND)
        await here.api.launched(smollm2, name="b", context_tokens=512)
        assert await here.state("a") == ("stopped", True)
        lines = [line["message"] for line in await here.api.progress("b")]
        assert any(line.startswith("a makes room: idle for") for line in lines)
        name = await here.api.launch(smollm2, name="c", context_tokens=512)
        failed = (await here.api.progress(name))[-1]
        assert (failed["step"], failed["code"]) == ("failed", "does_not_fit")
        assert "node-ctl stop gives back what others hold: b (" in failed["hint"]
        refused = await here.ask("a")
        assert refused.status_code == 503
        assert "by b (kept)" in refused.json()["error"]["message"]


async def test_a_stop_by_hand_is_for_good_and_a_restart_of_the_daemon_keeps_what_was_asked_for(
    box: Boxes, smollm2: Path
) -> None:
    async with box() as here:
        await here.api.launched(smollm2, name="a", idle_s=60, priority=3, pinned=True, **ON_DEMAND)
        await here.api.launched(smollm2, name="n", policy="never", context_tokens=512)
    async with box(launch_on_request="smollm2-135m") as here:
        row = await here.api.row("a", lambda row: row["state"] == "stopped")
        assert (row["policy"], row["idle_s"], row["priority"], row["pinned"]) == ("on-demand", 60, 3, True)
        assert row["starts_on_request"]
        await here.api.row("n", lambda row: row["state"] == "stopped" and not row["starts_on_request"])
        assert await here.state("smollm2-135m") == ("stopped", True)
        assert (await here.ask("n")).status_code == 404
        assert (await here.ask("a")).status_code == 200
        await here.api.post("/v1/launches/a/stop")
        refused = await here.ask("a")
        assert (refused.status_code, "node-ctl start a" in refused.text) == (404, True)
        await here.api.post("/v1/launches/smollm2-135m/stop")
        assert await here.state("smollm2-135m") == ("stopped", False)


async def test_an_engine_that_does_not_start_is_told_and_left_alone_for_a_while(
    box: Boxes, smollm2: Path, launcher: FakeLauncher, tmp_path: Path
) -> None:
    async with box(restart_delay_s=600.0) as here:
        await here.api.launched(smollm2, name="a", **ON_DEMAND)
        await park.park(here.api.app.launches["a"], "the test")
        launcher.args = ("--die", "1", "--say", "no such luck")
        first = await here.ask("a")
        assert first.status_code == 503
        assert await here.state("a") == ("stopped", True)
        second = await here.ask("a")
        assert (second.status_code, "its last start failed" in second.text) == (503, True)
        assert len(await here.events("failed", "a")) == 1


async def test_ollamas_keep_alive_unloads_keeps_and_limits(box: Boxes, smollm2: Path) -> None:
    async with box() as here:
        await here.api.launched(smollm2, name="a", **ON_DEMAND)
        use = here.api.app.launches["a"].use

        async def generate(keep_alive: object) -> dict[str, Any]:
            answer = await here.http.post("/api/generate", json={"model": "a", "keep_alive": keep_alive})
            return dict(answer.json())

        await generate(-1)
        use.last_s = IDLE_FOR_LONG_S
        await park.stop_idle(here.api.app)
        assert await here.state("a") == ("ready", False)
        await generate("1h30m")
        assert use.keep_s == 5400
        running = (await here.http.get("/api/ps")).json()["models"]
        assert running[0]["expires_at"] < "2300"
        assert (await generate(0))["done_reason"] == "unload"
        await here.stop_idle("a")
        assert await here.state("a") == ("stopped", True)
        assert (await generate(0))["done_reason"] == "unload"
        assert await here.state("a") == ("stopped", True)


async def test_the_budget_of_each_device_names_who_holds_its_memory(box: Boxes, smollm2: Path) -> None:
    async with box() as here:
        await here.api.launched(smollm2, name="a", **ON_DEMAND)
        rows = await here.api.get("/v1/memory")
        host = next(row for row in rows if row["device"] == "host")
        assert [(share["launch"], share["state"]) for share in host["shares"]] == [("a", "ready")]
        assert host["left_bytes"] < host["free_bytes"] == 64 << 30
