"""Requests and engines that come and go: who waits, who is told, and what is never lost."""

import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from config.listen import Address
from config.settings import Settings
from daemon.app import Adapters, real_adapters
from daemon.gateway import holding
from daemon.gateway.listener import server
from daemon.launches.state_machine import Event
from domain.launches.launch import LaunchState, Progress, Step
from tests.daemon.conftest import Api, Running, fork_server
from tests.daemon.gateway.conftest import EVENTS, Rig, answer_all, running_gateway

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hi"}]


async def until_held(rig: Rig, count: int) -> None:
    gateway = rig.gateway
    while gateway.engines.hold.held < count:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.005)


async def test_requests_wait_for_a_model_that_starts(gateway: Rig) -> None:
    launch = await gateway.serve("smol", state=LaunchState.STARTING)
    asking = [asyncio.create_task(gateway.post(CHAT, model="smol", messages=HELLO)) for _ in range(3)]
    await until_held(gateway, 3)
    launch.apply(Event.ANSWER)
    assert [(await task).status_code for task in asking] == [200, 200, 200]


async def test_a_request_without_an_answer_is_sent_once_more_to_the_next_engine(gateway: Rig) -> None:
    asked: list[str] = []

    async def die(request: web.Request) -> web.StreamResponse:
        asked.append(await request.text())
        assert request.transport is not None
        request.transport.abort()
        raise AssertionError

    launch = await gateway.serve("smol", die)
    asking = asyncio.create_task(gateway.post(CHAT, model="smol", stream=True, messages=HELLO))
    await until_held(gateway, 1)
    launch.apply(Event.EXIT)
    launch.engine = None
    launch.apply(Event.ATTEMPT)
    await gateway.start_engine(launch, answer_all)
    launch.apply(Event.START)
    launch.apply(Event.ANSWER)
    assert (await asking).content.replace(b":\n\n", b"") == b"".join(EVENTS)
    assert len(asked) == 1


async def test_a_request_that_kills_two_engines_is_not_sent_to_a_third(
    gateway: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "SETTLE_S", 0.01)
    asked = []

    async def die(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        assert request.transport is not None
        request.transport.abort()
        raise AssertionError

    await gateway.serve("smol", die)
    refused = await gateway.post(CHAT, model="smol", messages=HELLO)
    assert (refused.status_code, refused.json()["error"]["type"]) == (502, "server_error")
    assert "node-ctl logs smol" in refused.json()["error"]["message"]
    assert len(asked) == 2


async def test_what_is_stopped_while_a_request_waits_ends_it(gateway: Rig) -> None:
    launch = await gateway.serve("smol", state=LaunchState.STARTING)
    asking = asyncio.create_task(gateway.post(CHAT, model="smol", messages=HELLO))
    await until_held(gateway, 1)
    launch.lifecycle.desired = False
    launch.apply(Event.STOP)
    refused = await asking
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    again = await gateway.post(CHAT, model="smol", messages=HELLO)
    assert "node-ctl start smol" in again.json()["error"]["message"]


async def test_a_download_is_told_with_its_numbers_and_not_waited_for(gateway: Rig) -> None:
    launch = await gateway.serve("smol", state=LaunchState.DOWNLOADING)
    launch.progress.add(Progress(Step.DOWNLOAD, "", 0.0, bytes_done=2**30, bytes_total=2**32, eta_s=90.0))
    refused = await gateway.post(CHAT, model="smol", messages=HELLO)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "90")
    assert "1.0 GiB of 4.0 GiB" in refused.json()["error"]["message"]


async def test_a_model_that_keeps_failing_is_told_at_once(gateway: Rig) -> None:
    launch = await gateway.serve("smol", state=LaunchState.FAILED)
    launch.attempts.last_error = "the GPU is gone"
    refused = await gateway.post("/v1/messages", model="smol", messages=HELLO)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["error"]["type"] == "overloaded_error"
    assert "the GPU is gone" in refused.json()["error"]["message"]


async def test_nobody_waits_without_end(settings: Settings, adapters: Adapters) -> None:
    async with running_gateway(settings, adapters, hold_s=0.02) as rig:
        await rig.serve("smol", state=LaunchState.STARTING)
        refused = await rig.post(CHAT, model="smol", messages=HELLO)
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)


async def test_more_than_can_wait_are_told_to_come_back(
    gateway: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MAX_HELD", 1)
    launch = await gateway.serve("smol", state=LaunchState.STARTING)
    first = asyncio.create_task(gateway.post(CHAT, model="smol", messages=HELLO))
    await until_held(gateway, 1)
    assert (await gateway.post(CHAT, model="smol", messages=HELLO)).status_code == 503
    launch.apply(Event.ANSWER)
    assert (await first).status_code == 200


async def test_streams_that_outlast_the_daemon_end_in_their_protocol(
    settings: Settings, adapters: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SHUTDOWN_TIMEOUT_S", 0.05)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(EVENTS[0])
        await asyncio.sleep(600)
        return response

    async with httpx.AsyncClient(timeout=60, trust_env=False) as http, AsyncExitStack() as outlives:
        async with running_gateway(settings, adapters) as rig:
            rig._undo = outlives  # the engine
            await rig.serve("smol", answer)
            asked = {"model": "smol", "stream": True, "messages": HELLO}
            request = http.build_request("POST", f"{rig.base}/v1/messages", json=asked)
            response = await http.send(request, stream=True)
            parts = response.aiter_raw()
            got = await anext(parts)
        async for part in parts:
            got += part
    assert got.startswith(EVENTS[0])
    assert b"event: error" in got
    assert b"node-daemon is stopping" in got


async def test_a_port_in_use_stops_no_daemon_and_is_tried_again(
    daemon: Running, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "TRY_AGAIN_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        object.__setattr__(settings, "listen", f"127.0.0.1:{port}")
        async with daemon() as api:
            status = await api.get("/v1/status")
            assert status["gateway"] is None
            [problem] = [one for one in status["problems"] if one["source"] == "gateway"]
            assert f"127.0.0.1:{port}" in problem["what"]
            findings = await api.get("/v1/doctor?check=daemon")
            assert f"127.0.0.1:{port}" in str(findings)
            other.close()
            while (await api.get("/v1/status"))["gateway"] is None:  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.01)
            kinds = [event["kind"] for event in await events(api)]
            assert {"gateway_down", "gateway_up"} <= set(kinds)
            assert "gateway" not in str((await api.get("/v1/status"))["problems"])


async def test_an_address_open_to_the_network_is_not_listened_on_without_a_key(
    daemon: Running, settings: Settings
) -> None:
    object.__setattr__(settings, "listen", "0.0.0.0:0")
    async with daemon() as api:
        status = await api.get("/v1/status")
        assert status["gateway"] is None
        assert "no key" in str(status["problems"])


async def events(api: Api) -> list[dict[str, str]]:
    text = (await api.http.get("/v1/events")).text
    return [httpx.Response(200, content=line).json() for line in text.splitlines()]


@pytest.mark.engine
@pytest.mark.slow
async def test_streams_of_a_killed_engine_end_in_their_protocol_and_the_next_succeeds(
    daemon: Running, settings: Settings, smollm2: Path
) -> None:
    """The real engine, killed while four clients read."""
    object.__setattr__(settings, "listen", "127.0.0.1:0")
    async with daemon(real_adapters(settings, fork_server())) as api:
        row = await api.launched(smollm2, name="tiny", context_tokens=2048, parallel=4)
        base = row["gateway"]
        async with httpx.AsyncClient(base_url=base, timeout=120, trust_env=False) as http:
            [model] = (await http.get("/v1/models")).json()["data"]
            assert model["context_length"] == row["context_tokens"] == 2048
            begun = asyncio.Event()
            reading = [
                asyncio.create_task(read(http, path, begun))
                for path in (CHAT, "/v1/messages")
                for _ in range(2)
            ]
            await begun.wait()
            os.kill(row["pid"], signal.SIGKILL)
            for path, got in zip(
                [CHAT] * 2 + ["/v1/messages"] * 2, await asyncio.gather(*reading), strict=True
            ):
                assert ended_properly(path, got), got[-300:]
            answer = await http.post(CHAT, json=body(16))
            assert answer.json()["choices"][0]["message"]["content"]


def body(tokens: int) -> dict[str, object]:
    return {"model": "tiny", "max_tokens": tokens, "messages": HELLO, "temperature": 0, "ignore_eos": True}


async def read(http: httpx.AsyncClient, path: str, begun: asyncio.Event) -> bytes:
    got = b""
    async with http.stream("POST", path, json=body(150) | {"stream": True}) as response:
        async for part in response.aiter_raw():
            got += part
            if got.count(b"data:") > 3:
                begun.set()
    return got


def ended_properly(path: str, got: bytes) -> bool:
    """With an error, or, for those that had not begun, with an answer of the next engine."""
    last = got.rstrip(b"\n").rpartition(b"\n\n")[2]
    if path == CHAT:
        return last == b"data: [DONE]" or last.startswith(b'data: {"error"')
    return last.startswith((b"event: message_stop", b"event: error"))


def test_answers_are_not_delayed_until_the_client_has_acknowledged_the_head() -> None:
    """asyncio sets TCP_NODELAY where a socket names its protocol."""
    with server._bind(Address("127.0.0.1", 0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP
