"""The queue before an engine, as clients meet it: turns, bounds, classes, pauses, and clients that leave."""

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web

from daemon.gateway.queue import scheduler
from daemon.gateway.queue.turns import parallel_limit
from daemon.launches.launch import Launch
from daemon.resources.throttle import Throttle
from domain.launches.plan import LlamaFlags, VllmFlags
from tests.daemon.gateway.conftest import EVENTS, Rig
from tests.daemon.state.test_store import PLAN

CHAT = "/v1/chat/completions"


class Gate:
    """An engine that begins each answer at once, and ends it when the test lets it."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.left: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.changed = asyncio.Condition()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/count_tokens"):
            return web.json_response({"input_tokens": 1})
        asked = await request.json()
        name = asked["user"]
        end = self.ends[name] = asyncio.Event()
        await self.tell(self.begun, name)
        try:
            if asked.get("stream"):
                response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
                await response.prepare(request)
                await response.write(EVENTS[0])
                await end.wait()
                return response
            await end.wait()
            return web.json_response({"user": name})
        except asyncio.CancelledError:
            await self.tell(self.left, name)
            raise

    async def tell(self, names: list[str], name: str) -> None:
        async with self.changed:
            names.append(name)
            self.changed.notify_all()

    async def until(self, names: list[str], count: int) -> list[str]:
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: len(names) >= count)
        return names


@pytest.fixture
def engine() -> Gate:
    return Gate()


async def served(gateway: Rig, engine: Gate, parallel: int | None) -> Launch:
    launch = await gateway.serve("smol", engine.answer)
    assert launch.plan is not None
    launch.plan = replace(launch.plan, flags=LlamaFlags(parallel=parallel))
    return launch


def ask(gateway: Rig, user: str, **more: object) -> "asyncio.Task[int]":
    headers = {"x-request-class": str(more.pop("priority", ""))}

    async def asked() -> int:
        return (await gateway.post(CHAT, headers, model="smol", user=user, **more)).status_code

    return asyncio.create_task(asked())


async def until_waiting(gateway: Rig, count: int) -> None:
    async with asyncio.timeout(30):
        while sum(gateway.gateway.engines.turns.depths().values()) != count:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.002)


async def test_the_engine_gets_no_more_at_once_than_it_computes(gateway: Rig, engine: Gate) -> None:
    await served(gateway, engine, parallel=2)
    asking = [ask(gateway, "1"), ask(gateway, "2")]
    await engine.until(engine.begun, 2)
    asking += [ask(gateway, "3"), ask(gateway, "4", priority="batch")]
    await until_waiting(gateway, 2)
    metrics = (await gateway.http.get("/metrics")).text
    assert 'node_daemon_queue_depth{class="batch",model="smol"} 1.0' in metrics
    assert 'node_daemon_queue_wait_seconds_count{class="interactive",model="smol"} 2.0' in metrics
    assert len(engine.begun) == 2
    for end in tuple(engine.ends.values()):
        end.set()
    for user in (await engine.until(engine.begun, 4))[2:]:
        engine.ends[user].set()
    assert await asyncio.gather(*asking) == [200] * 4


async def test_where_nobody_says_how_many_it_computes_all_are_passed_on(gateway: Rig, engine: Gate) -> None:
    await served(gateway, engine, parallel=None)
    asking = [ask(gateway, str(number)) for number in range(6)]
    await engine.until(engine.begun, 6)
    for end in engine.ends.values():
        end.set()
    assert await asyncio.gather(*asking) == [200] * 6


async def test_a_client_that_leaves_frees_its_place_and_the_engine(gateway: Rig, engine: Gate) -> None:
    """Whether its answer had begun, or it was still waiting."""
    await served(gateway, engine, parallel=1)
    streaming = ask(gateway, "1", stream=True)
    await engine.until(engine.begun, 1)
    gone = ask(gateway, "2")
    await until_waiting(gateway, 1)
    last = ask(gateway, "3")
    await until_waiting(gateway, 2)
    gone.cancel()
    await until_waiting(gateway, 1)
    streaming.cancel()
    assert await engine.until(engine.left, 1) == ["1"]
    assert await engine.until(engine.begun, 2) == ["1", "3"]
    engine.ends["3"].set()
    assert await last == 200


async def test_too_many_get_429_with_a_time_in_their_own_protocol(
    gateway: Rig, engine: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "MAX_WAITING_OF_CLIENT", 1)
    await served(gateway, engine, parallel=1)
    asking = [ask(gateway, "1")]
    await engine.until(engine.begun, 1)
    asking.append(ask(gateway, "2"))
    await until_waiting(gateway, 1)
    openai = await gateway.post(CHAT, model="smol")
    assert (openai.status_code, openai.headers["retry-after"]) == (429, "5")
    assert openai.json()["error"]["code"] == "rate_limit_exceeded"
    assert "wait for smol, which answers 1 at once" in openai.json()["error"]["message"]
    claude = await gateway.post("/v1/messages", model="smol")
    assert (claude.status_code, claude.json()["error"]["type"]) == (429, "rate_limit_error")
    ollama = await gateway.post("/api/generate", model="smol", prompt="hi")
    assert (ollama.status_code, ollama.headers["retry-after"]) == (429, "5")
    assert "wait for smol" in ollama.json()["error"]
    counted = await gateway.post("/v1/messages/count_tokens", model="smol")  # needs no slot
    for task in asking:
        task.cancel()
    assert counted.status_code == 200


async def test_a_class_that_there_is_not_is_refused(gateway: Rig, engine: Gate) -> None:
    await served(gateway, engine, parallel=1)
    response = await gateway.post(CHAT, {"x-request-class": "urgent"}, model="smol")
    assert response.status_code == 400
    assert "interactive, background, batch" in response.json()["error"]["message"]


async def test_a_throttle_lowers_what_runs_at_once_and_its_end_is_noticed(gateway: Rig, engine: Gate) -> None:
    launch = await served(gateway, engine, parallel=None)
    launch.throttle.limit_parallel(1)
    asking = [ask(gateway, "1"), ask(gateway, "2")]
    await until_waiting(gateway, 1)
    launch.throttle.limit_parallel(None)
    await engine.until(engine.begun, 2)
    for end in engine.ends.values():
        end.set()
    assert await asyncio.gather(*asking) == [200, 200]


async def test_the_engine_rests_between_requests_for_as_long_as_is_said(gateway: Rig, engine: Gate) -> None:
    launch = await served(gateway, engine, parallel=4)
    first = ask(gateway, "1")  # an engine that has rested starts at once
    await engine.until(engine.begun, 1)
    launch.throttle.pause(600.0)
    engine.ends["1"].set()
    assert await first == 200
    second = ask(gateway, "2")
    await until_waiting(gateway, 1)
    launch.throttle.pause(0.0)
    await engine.until(engine.begun, 2)
    engine.ends["2"].set()
    assert await second == 200


@pytest.mark.parametrize(
    ("plan", "throttle", "expected"),
    [
        pytest.param(None, None, None, id="nothing is known"),
        pytest.param(replace(PLAN, flags=LlamaFlags(parallel=4)), None, 4, id="llama.cpp"),
        pytest.param(replace(PLAN, flags=VllmFlags(max_num_seqs=32)), None, 32, id="vLLM"),
        pytest.param(replace(PLAN, flags=VllmFlags()), None, None, id="vLLM's own default"),
        pytest.param(replace(PLAN, flags=LlamaFlags(parallel=4)), 2, 2, id="throttled"),
        pytest.param(replace(PLAN, flags=LlamaFlags(parallel=1)), 2, 1, id="a throttle never raises it"),
        pytest.param(replace(PLAN, flags=LlamaFlags(parallel=-1)), None, None, id="llama.cpp decides"),
        pytest.param(None, 0, 1, id="a throttle leaves one"),
    ],
)
def test_what_runs_at_once(plan: object, throttle: int | None, expected: int | None) -> None:
    limit = Throttle()
    limit.limit_parallel(throttle)
    assert parallel_limit(plan, limit) == expected  # type: ignore[arg-type]
