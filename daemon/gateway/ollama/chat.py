"""``/api/chat`` and ``/api/generate``: asked of an engine in OpenAI's words, answered in Ollama's."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from daemon.gateway.context import check_context
from daemon.gateway.engines import Answer
from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.forward import error_of
from daemon.gateway.listener.exchange import Exchange, encode
from daemon.gateway.ollama import requests
from daemon.gateway.ollama.answers import Clock, Translator, empty
from daemon.gateway.ollama.events import Events
from daemon.gateway.ollama.handling import NDJSON, line, name_of
from daemon.gateway.ollama.keeping import keep, unload
from daemon.gateway.ollama.requests import Target
from daemon.gateway.ollama.shape import checked
from daemon.gateway.served import find_launch
from daemon.launches.launch import Launch
from domain.launches.plan import VLLM
from domain.models.kinds import Kind

Builder = Callable[[Mapping[str, Any], Target], dict[str, Any]]


async def chat(exchange: Exchange) -> None:
    asked = await exchange.json()
    has_prompt = bool(asked.get("messages"))
    await _answer(exchange, asked, requests.chat, has_prompt=has_prompt, is_chat=True)


async def generate(exchange: Exchange) -> None:
    asked = await exchange.json()
    build = requests.raw if asked.get("raw") is True else requests.generate
    has_prompt = bool(asked.get("prompt") or asked.get("images"))
    await _answer(exchange, asked, build, has_prompt=has_prompt, is_chat=False)


async def _answer(
    exchange: Exchange, asked: Mapping[str, Any], build: Builder, *, has_prompt: bool, is_chat: bool
) -> None:
    label = name_of(asked)
    launch = find_launch(exchange.gateway.app, label, (Kind.MODEL,))
    exchange.count_as(launch.name, computes=has_prompt)
    keep_s = requests.keep_alive_s(asked)
    if keep_s == 0 and not has_prompt:
        unload(launch)
        await exchange.send_json(empty(label, "unload", at_s=time.time(), is_chat=is_chat))
        return
    began_s = time.monotonic()
    launch, _ = await exchange.gateway.engines.hold.until_ready(launch.name)
    keep(launch, keep_s)
    clock = Clock(began_s, time.monotonic())
    if not has_prompt:
        await exchange.send_json(empty(label, "load", at_s=time.time(), is_chat=is_chat))
        return
    body = build(asked, await _target(exchange, launch))
    path = "/v1/completions" if "prompt" in body else "/v1/chat/completions"
    content, gateway = await encode(body, await exchange.body()), exchange.gateway
    await check_context(gateway.engines, gateway.facts, launch, path, content)
    headers = {b"content-type": b"application/json"}
    answer = await gateway.engines.ask(
        launch, "POST", path, body=content, headers=headers, asker=exchange.asker
    )
    translator = Translator(label, clock, is_chat=is_chat, hides_thinking=asked.get("think") is False)
    try:
        await _relay(exchange, answer, translator)
    finally:
        answer.close()


async def _relay(exchange: Exchange, answer: Answer, translator: Translator) -> None:
    if answer.status >= 400:
        raise error_of(answer)
    if answer.is_stream:
        await exchange.send_stream(_lines(answer, translator), content_type=NDJSON)
        return
    try:
        told = checked(msgspec.json.decode(answer.first))
    except (msgspec.DecodeError, RecursionError) as error:
        message = f"the engine of {answer.launch.name} answered what is no JSON object: {error}"
        raise GatewayError(Reason.ENGINE_FAILED, message) from error
    await exchange.send_json(translator.whole(told, at_s=time.time(), now_s=time.monotonic()))


async def _lines(answer: Answer, translator: Translator) -> AsyncIterator[bytes]:
    """Raises: GatewayError for an error that the engine sends in its stream."""
    events = Events()
    async for part in answer.parts():
        for event in events.feed(part):
            if told := event.get("error"):
                message = told.get("message") if isinstance(told, dict) else told
                raise GatewayError(Reason.ENGINE_FAILED, str(message))
            row = translator.chunk(event, at_s=time.time(), now_s=time.monotonic())
            if row is not None:
                yield line(row)
    for row in translator.last(at_s=time.time(), now_s=time.monotonic()):
        yield line(row)


async def _target(exchange: Exchange, launch: Launch) -> Target:
    facts = await exchange.gateway.facts.of(launch)
    is_vllm = launch.plan is not None and launch.plan.engine == VLLM
    return Target(launch.name, is_vllm, facts.context_tokens, facts.vision)
