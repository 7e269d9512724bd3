"""/metrics: what Prometheus reads of requests, launches and devices."""

import asyncio
import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from daemon.events.gateway_state import TokenCount
from daemon.gateway.metrics import Metrics, Tokens, Watched, tokens_of
from domain.launches.launch import LaunchState
from domain.models.kinds import Kind
from tests.conftest import ROOT
from tests.ctl.answers import BOX
from tests.daemon.gateway.conftest import Rig, answer_all, stream

HELLO = [{"role": "user", "content": "hi"}]
TIMINGS = b'data: {"choices":[],"timings":{"cache_n":7,"prompt_n":3,"predicted_n":5}}\n\n'


async def scraped(gateway: Rig) -> dict[str, dict[tuple[str, ...], float]]:
    response = await gateway.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(response.text):
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            name = sample.name.removeprefix("node_daemon_")
            found.setdefault(name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def test_requests_are_counted_by_model_protocol_and_status(gateway: Rig) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/props":
            return await answer_all(request)
        if (await request.json()).get("stream"):
            return await stream(request, [b'data: {"choices":[]}\n\n', TIMINGS, b"data: [DONE]\n\n"])
        usage = {"prompt_tokens": 4, "completion_tokens": 6}
        return web.json_response({"choices": [{"message": {"content": "x"}}], "usage": usage})

    await gateway.serve("smol", answer)
    await gateway.post("/v1/chat/completions", model="smol", messages=HELLO)
    await gateway.post("/v1/chat/completions", model="smol", messages=HELLO, stream=True)
    await gateway.post("/api/chat", model="smol:latest", messages=HELLO)
    await gateway.post("/api/chat", model="smol", messages=HELLO, options={"num_ctx": 10**6})
    await gateway.post("/v1/chat/completions", model="unknown", messages=HELLO)
    found = await scraped(gateway)
    assert found["requests_total"] == {
        ("smol", "openai", "200"): 2,
        ("smol", "ollama", "200"): 1,
        ("smol", "ollama", "400"): 1,
    }
    assert found["prompt_tokens_total"] == {("smol",): 4 + 10 + 10}
    assert found["cached_prompt_tokens_total"] == {("smol",): 7}
    assert found["generated_tokens_total"] == {("smol",): 6 + 5 + 5}
    assert found["first_byte_seconds_count"] == {("smol",): 3}
    assert found["requests_in_flight"] == {("smol",): 0}
    assert found["token_interval_seconds_count"] == {("smol",): 1}, (
        "of the one that was streamed to its client"
    )


async def test_tokens_for_the_history_are_those_of_answers_and_unknown_where_none_are_told(
    gateway: Rig,
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path in ("/props", "/v1/messages/count_tokens"):
            return web.json_response({"input_tokens": 999, "default_generation_settings": {"n_ctx": 2048}})
        if (await request.json()).get("stream"):
            return await stream(request, [b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n"])
        usage = {"prompt_tokens": 4, "completion_tokens": 6}
        return web.json_response({"choices": [{"message": {"content": "x"}}], "usage": usage})

    await gateway.serve("smol", answer)
    await gateway.post("/v1/chat/completions", model="smol", messages=HELLO)
    await gateway.post("/v1/chat/completions", model="smol", messages=HELLO, stream=True)
    await gateway.post("/v1/messages/count_tokens", model="smol", messages=HELLO)
    await gateway.http.get("/props?model=smol")
    await gateway.post("/api/chat", model="smol", messages=[])
    await gateway.post("/api/chat", model="smol", messages=HELLO, options={"num_ctx": 10**6})
    async with asyncio.timeout(60):
        while gateway.gateway.metrics.requests.total() < 6:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.005)
    assert gateway.app.gateway.token_counts == {"smol": TokenCount(4, 6, 1)}


async def test_launches_and_devices_are_told_as_they_are_known(gateway: Rig) -> None:
    launch = await gateway.serve("smol", kind=Kind.EMBEDDING)
    launch.attempts.restarts = 3
    before = await scraped(gateway)
    assert "device_memory_total_bytes" not in before  # nothing is measured for a scrape
    asleep = replace(BOX.gpus[0], asleep=True)
    gateway.app.hardware_cache.hardware = replace(BOX, gpus=(asleep,))
    found = await scraped(gateway)
    assert found["launch_state"]["smol", LaunchState.READY.value] == 1
    assert sum(found["launch_state"].values()) == 1
    assert found["launch_restarts_total"] == {("smol",): 3}
    assert found["device_memory_total_bytes"]["host", "RAM"] == BOX.memory.total_bytes
    gpu = (asleep.id, asleep.name)
    assert found["device_memory_total_bytes"][gpu] == asleep.memory_total_bytes
    assert gpu not in found["device_memory_free_bytes"]  # not known
    assert found["sensor_temperature_celsius"]["k10temp Tctl",] == 48.5


async def test_a_client_that_leaves_is_counted_once(gateway: Rig) -> None:
    begun = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/props":
            return await answer_all(request)
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    await gateway.serve("smol", answer)
    asking = asyncio.create_task(gateway.post("/api/chat", model="smol", messages=HELLO))
    await begun.wait()
    assert (await scraped(gateway))["requests_in_flight"] == {("smol",): 1}
    asking.cancel()
    while gateway.gateway.metrics.in_flight["smol"]:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.005)
    assert (await scraped(gateway))["requests_total"] == {("smol", "ollama", "499"): 1}


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        (TIMINGS, Tokens(10, 7, 5)),
        (b'{"usage":{"input_tokens":3},"x":1}event: {"usage": {"output_tokens": 9}}', Tokens(3, None, 9)),
        (b'{"prompt_eval_count":2,"eval_count":1}', Tokens(2, None, 1)),
        (rb'{"content":"{\"prompt_tokens\":99}"}', Tokens()),
        (b"", Tokens()),
    ],
)
def test_tokens_are_those_that_an_answer_tells(content: bytes, tokens: Tokens) -> None:
    assert tokens_of(content) == tokens


def test_a_histogram_has_every_request_in_one_bucket() -> None:
    metrics = Metrics()
    for seconds in (0.05, 0.051, 1000.0):
        watched: Any = Watched(0.0, status=200)
        watched.sent(b"{}", seconds)
        metrics.record("smol", "openai", watched, seconds)
    counts = metrics.first_byte["smol"].counts
    assert (counts[0], counts[1], counts[-1], sum(counts)) == (1, 1, 1, 3)


async def test_the_page_on_metrics_names_every_one(gateway: Rig) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    gateway.app.hardware_cache.hardware = BOX
    text = (await gateway.http.get("/metrics")).text
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}`" in page or f"`_{'_'.join(name.split('_')[-2:])}`" in page, name


async def test_the_dashboard_names_metrics_that_there_are(gateway: Rig) -> None:
    await gateway.serve("smol")
    gateway.gateway.metrics.record("smol", "openai", Watched(0.0, 200, 1.0, b"", (b"x", TIMINGS)), 2.0)
    await gateway.post("/v1/chat/completions", model="smol", messages=HELLO)
    awake = replace(BOX.gpus[0], temperature_c=61.0, power_w=120.0)
    gateway.app.hardware_cache.hardware = replace(BOX, gpus=(awake,))
    found = await scraped(gateway)
    board = msgspec.json.decode((ROOT / "docs" / "grafana.json").read_bytes())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    named = {name for query in queries for name in re.findall(r"node_daemon_(\w+)", query)}
    assert len(named) > 10
    assert named <= set(found)
