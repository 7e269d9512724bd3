"""Whether an engine serves: it is healthy, it is the one that was started, and it answers a known question.

An open port proves nothing, and engines have served garbage for hours with every health check green.
"""

import asyncio
import json
import ssl
import time
from dataclasses import dataclass, replace
from typing import Any

import httpx

from domain.errors import EngineError
from launchers.answer_stream import Reply, check_length, stream
from launchers.command import Command

# "What is the capital of France?" is a near tie for a model of 135 M at 4 bits: builds answer differently.
QUESTION = "Name the capital of France."
ANSWER_TOKENS = 48
POLL_S = (0.05, 0.5)  # the first and the longest pause between polls
ANSWER_S = 10.0
COUNTERS = ("llamacpp:", "vllm:")
MEASURE_S = 1.0  # target duration of each part of a measurement, from the speed of the first answer
MEASURE_LIMIT_S = 20.0
LEAST_TOKENS, MOST_TOKENS = 8, 64
LEAST_WORDS, MOST_WORDS = 16, 300
# The loopback needs no certificates; loading them takes time.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

# What asking raises, also for JSON of another shape, or nested without an end.
NO_ANSWER = (httpx.HTTPError, ValueError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Ready:
    """An engine's known answer and its measured speed. Rates are ``None`` when the engine generated too
    little to measure; ``load_s`` is from the start to the first healthy answer, ``None`` for an adopted
    engine; ``prompt_tokens`` are those of the measured prompt. ``proved``: whether only an intact model could
    have answered so, where the check itself knows it. ``unchecked``: it was adopted while its clients kept it
    busy, and the rest is that of an earlier check. ``context_tokens``: of one request, as the engine says
    that it has loaded it."""

    answer: str
    decode_tokens_per_s: float | None = None
    prefill_tokens_per_s: float | None = None
    load_s: float | None = None
    prompt_tokens: int | None = None
    proved: bool = False
    unchecked: bool = False
    context_tokens: int | None = None


def client(command: Command) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=command.url,
        headers=command.headers,
        trust_env=False,
        verify=NO_CERTIFICATES,
        timeout=httpx.Timeout(None, connect=2.0),
    )


async def wait_until_healthy(http: httpx.AsyncClient, path: str) -> None:
    """Returns once ``path`` answers 200. Both engines refuse, or answer 503, while they load."""
    pause_s, longest_s = POLL_S
    while True:
        try:
            if (await http.get(path, timeout=5.0)).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass  # not yet; the caller limits the time and watches the process
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, longest_s)


async def read_body(http: httpx.AsyncClient, path: str) -> bytes:
    """The body of an answer. Raises: httpx.HTTPError; ValueError for one that is longer than any."""
    body = bytearray()
    async with http.stream("GET", path, timeout=ANSWER_S) as response:
        response.raise_for_status()
        async for chunk in response.aiter_bytes():
            body += chunk
            check_length(len(body))
    return bytes(body)


async def check_answer(http: httpx.AsyncClient, command: Command, *, expect: str | None) -> Ready:
    """Asks the known question, then measures. ``expect`` is a word that the answer must contain; without
    one any text that is not garbage will do. Raises: EngineError."""
    try:
        context_tokens = await check_name(http, command)
    except NO_ANSWER as error:
        raise _no_answer(error) from error
    ready = await known_answer(http, command, expect=expect)
    like = Reply(
        ready.answer, None, ready.prompt_tokens, ready.decode_tokens_per_s, ready.prefill_tokens_per_s
    )
    rates = await measure(http, command.served_name, like=like)
    return replace(
        ready,
        decode_tokens_per_s=rates.decode_tokens_per_s,
        prefill_tokens_per_s=rates.prefill_tokens_per_s,
        prompt_tokens=rates.prompt_tokens,
        context_tokens=context_tokens,
    )


async def known_answer(
    http: httpx.AsyncClient, command: Command, *, expect: str | None, slot: int | None = None
) -> Ready:
    """As ``check_answer``, in one request: its speed is that of the answer itself. Raises: EngineError."""
    reply = await short_answer(http, command, tokens=ANSWER_TOKENS, slot=slot)
    if (wrong := describe_nonsense(reply.text)) or (wrong := _unexpected(reply, expect)):
        raise EngineError(
            f"the engine's answer is wrong: {wrong}",
            hint="the weights, the driver or the build are at fault: try another build or quant",
            cause="wrong_answer",
            engine_output=reply.text[:200],
        )
    rates = reply.decode_tokens_per_s, reply.prefill_tokens_per_s
    return Ready(reply.text.strip(), *rates, prompt_tokens=reply.prompt_tokens)


async def short_answer(
    http: httpx.AsyncClient, command: Command, *, tokens: int, slot: int | None = None
) -> Reply:
    """To the known question, whatever it says. Raises: EngineError where none comes."""
    try:
        return await ask(http, command.served_name, QUESTION, tokens=tokens, slot=slot)
    except NO_ANSWER as error:
        raise _no_answer(error) from error


def _no_answer(error: Exception) -> EngineError:
    return EngineError(
        f"the engine is healthy but does not answer: {error or type(error).__name__}",
        hint="node-ctl logs shows its output",
        cause="no_answer",
    )


async def measure(http: httpx.AsyncClient, model: str, *, like: Reply, tokens: int | None = None) -> Reply:
    """A longer reply than ``like``, long enough to measure at its speed; ``like`` where that fails."""
    words = _amount(like.prefill_tokens_per_s, LEAST_WORDS, MOST_WORDS)
    tokens = tokens or _amount(like.decode_tokens_per_s, LEAST_TOKENS, MOST_TOKENS)
    count = " ".join(str(number) for number in range(1, words // 2 + 1))
    # The time makes it a text that is in no prompt cache.
    question = f"At {time.time_ns()} I counted: {count}. Go on counting."
    try:
        async with asyncio.timeout(MEASURE_LIMIT_S):
            reply = await ask(http, model, question, tokens=tokens, to_the_end=True)
    except (*NO_ANSWER, TimeoutError):
        return like  # a short context, or a slow machine
    return replace(
        reply,
        decode_tokens_per_s=reply.decode_tokens_per_s or like.decode_tokens_per_s,
        prefill_tokens_per_s=reply.prefill_tokens_per_s or like.prefill_tokens_per_s,
    )


async def ask(
    http: httpx.AsyncClient,
    model: str,
    question: str,
    *,
    tokens: int,
    to_the_end: bool = False,
    slot: int | None = None,
) -> Reply:
    """Greedy, streamed. A model without a chat template gets the question as text to complete. ``slot`` is
    that of llama-server to answer it in.

    Raises: httpx.HTTPError, ValueError for an answer that can't be parsed.
    """
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": False,
        "ignore_eos": to_the_end,
    }
    if slot is not None:
        body["id_slot"] = slot
    chat = {**body, "messages": [{"role": "user", "content": question}]}
    try:
        return await stream(http, "/v1/chat/completions", chat)
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.BAD_REQUEST:
            raise
    return await stream(http, "/v1/completions", {**body, "prompt": f"Question: {question}\nAnswer:"})


def _amount(rate: float | None, least: int, most: int) -> int:
    return least if rate is None else max(least, min(most, int(rate * MEASURE_S)))


async def check_name(http: httpx.AsyncClient, command: Command) -> int | None:
    """The context of one request that it has loaded, ``None`` where it does not say. Another program may have
    taken the port first. Raises: EngineError."""
    models = {
        model.get("id"): model for model in json.loads(await read_body(http, "/v1/models")).get("data", ())
    }
    if command.served_name not in models:
        raise EngineError(
            f"port {command.port} serves {', '.join(map(str, models))}, not {command.served_name}",
            hint="another engine listens there; launch again to use the next free port",
            cause="port_taken",
        )
    served = models[command.served_name]
    tokens = (served.get("meta") or {}).get("n_ctx") or served.get("max_model_len")  # llama.cpp, vLLM
    return tokens if isinstance(tokens, int) and tokens > 0 else None


def describe_nonsense(text: str) -> str | None:
    """What is wrong with a text that no working model generates; ``None`` when nothing is."""
    text = text.strip()
    if not text:
        return "it is empty"
    if text.count("\ufffd") > len(text) // 8:
        return "it is not valid text"
    words = text.split()
    if len(text) >= 8 and len(set(text.replace(" ", ""))) == 1:
        return f"it repeats {text[0]!r}"
    if len(words) >= 6 and len(set(words)) <= 2:
        return f"it repeats {words[0]!r}"
    return None


def _unexpected(reply: Reply, expect: str | None) -> str | None:
    """A reply cut off by its length is accepted: a reasoning model may not have reached the answer."""
    if expect is None or expect.casefold() in reply.text.casefold() or reply.finished == "length":
        return None
    return f"it does not contain {expect!r}"
