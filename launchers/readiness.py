"""Whether an engine really serves: it is healthy, it is ours, and it answers a question with words.

A port that opens proves nothing, and engines have served garbage for hours with every check green.
"""

import asyncio
import json
import math
import ssl
import time
from dataclasses import dataclass, replace
from typing import Any

import httpx

from domain.errors import EngineError
from launchers.command import Command

# "What is the capital of France?" is a near tie for a model of 135 M at 4 bits: builds differ.
QUESTION = "Name the capital of France."
ANSWER_TOKENS = 48
POLL_S = (0.05, 0.5)  # the first and the longest pause between looks
MEASURE_S = 1.0  # what one part of a measurement should take, from the speed seen so far
MEASURE_LIMIT_S = 20.0
LEAST_TOKENS, MOST_TOKENS = 8, 64
LEAST_WORDS, MOST_WORDS = 16, 300
# No proxy from the environment, and no certificates to read: it is the loopback.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True, slots=True)
class Ready:
    """Proof that an engine serves. Rates as measured, ``None`` when the engine gave too little to
    measure; ``load_s`` from the start to the first healthy answer, ``None`` for an adopted engine;
    ``prompt_tokens`` of the prompt that was measured."""

    answer: str
    decode_tokens_per_s: float | None = None
    prefill_tokens_per_s: float | None = None
    load_s: float | None = None
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer and how fast it came. ``finished`` is the engine's reason to end it."""

    text: str
    finished: str | None
    prompt_tokens: int | None
    decode_tokens_per_s: float | None
    prefill_tokens_per_s: float | None


def client(command: Command) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=command.url,
        trust_env=False,
        verify=NO_CERTIFICATES,
        timeout=httpx.Timeout(None, connect=2.0),
    )


async def healthy(http: httpx.AsyncClient, path: str) -> None:
    """Returns once ``path`` answers 200. Both engines refuse, or answer 503, while they load."""
    pause_s, longest_s = POLL_S
    while True:
        try:
            if (await http.get(path, timeout=5.0)).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass  # not yet; the caller limits the time and sees when the engine is gone
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, longest_s)


async def prove(http: httpx.AsyncClient, command: Command, *, expect: str | None) -> Ready:
    """Asks the known question, then measures. ``expect`` is a word the answer must have; without one
    any text that is no garbage will do. Raises: EngineError."""
    try:
        await _is_ours(http, command)
        reply = await ask(http, command.served_name, QUESTION, tokens=ANSWER_TOKENS)
    except (httpx.HTTPError, ValueError, TypeError, AttributeError) as error:  # JSON of any shape
        raise EngineError(
            f"the engine is healthy and does not answer: {error or type(error).__name__}",
            hint="node-ctl logs shows what it says",
            cause="no_answer",
        ) from error
    if (wrong := nonsense(reply.text)) or (wrong := _unexpected(reply, expect)):
        raise EngineError(
            f"the engine answers, and wrongly: {wrong}",
            hint="the weights, the driver or the build are at fault: try another build or quant",
            cause="wrong_answer",
            line=reply.text[:200],
        )
    rates = await measure(http, command.served_name, like=reply)
    return Ready(
        reply.text.strip(),
        rates.decode_tokens_per_s,
        rates.prefill_tokens_per_s,
        prompt_tokens=rates.prompt_tokens,
    )


async def measure(http: httpx.AsyncClient, model: str, *, like: Reply, tokens: int | None = None) -> Reply:
    """A reply of ``like``'s speed again, long enough to measure; ``like`` when that can't be had."""
    words = _about(like.prefill_tokens_per_s, LEAST_WORDS, MOST_WORDS)
    tokens = tokens or _about(like.decode_tokens_per_s, LEAST_TOKENS, MOST_TOKENS)
    count = " ".join(str(number) for number in range(1, words // 2 + 1))
    # The time makes it a text that no prompt cache has seen.
    question = f"At {time.time_ns()} I counted: {count}. Go on counting."
    try:
        async with asyncio.timeout(MEASURE_LIMIT_S):
            reply = await ask(http, model, question, tokens=tokens, to_the_end=True)
    except (httpx.HTTPError, ValueError, TypeError, AttributeError, TimeoutError):
        return like  # a short context, or a slow box: what was seen before stands
    return replace(
        reply,
        decode_tokens_per_s=reply.decode_tokens_per_s or like.decode_tokens_per_s,
        prefill_tokens_per_s=reply.prefill_tokens_per_s or like.prefill_tokens_per_s,
    )


async def ask(
    http: httpx.AsyncClient, model: str, question: str, *, tokens: int, to_the_end: bool = False
) -> Reply:
    """Greedy, streamed. A model without a chat template gets the question as a text to complete.

    Raises: httpx.HTTPError, ValueError for an answer that is none.
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
    chat = {**body, "messages": [{"role": "user", "content": question}]}
    try:
        return await _stream(http, "/v1/chat/completions", chat)
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.BAD_REQUEST:
            raise
    return await _stream(http, "/v1/completions", {**body, "prompt": f"Question: {question}\nAnswer:"})


async def _stream(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Reply:
    text, finished = "", None
    usage: dict[str, Any] = {}
    timings: dict[str, Any] = {}
    begun = time.monotonic()
    arrivals: list[float] = []
    async with http.stream("POST", path, json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            chunk = json.loads(line.removeprefix("data: "))
            if "error" in chunk:
                raise ValueError(str(chunk["error"]))
            usage, timings = chunk.get("usage") or usage, chunk.get("timings") or timings
            for choice in chunk.get("choices") or ():
                piece = _piece(choice)
                finished = choice.get("finish_reason") or finished
                if piece:
                    text += piece
                    arrivals.append(time.monotonic())
    return _reply(text, finished, usage=usage, timings=timings, begun=begun, arrivals=arrivals)


def _piece(choice: dict[str, Any]) -> str:
    """What one chunk adds: said aloud, or thought (reasoning models think first)."""
    delta = choice.get("delta") or {}
    return "".join(
        part or "" for part in (delta.get("reasoning_content"), delta.get("content"), choice.get("text"))
    )


def _reply(
    text: str,
    finished: str | None,
    *,
    usage: dict[str, Any],
    timings: dict[str, Any],
    begun: float,
    arrivals: list[float],
) -> Reply:
    """Rates are the engine's own (llama.cpp), else by the clock: the first word ends the prompt."""
    prompt_tokens, made = usage.get("prompt_tokens"), usage.get("completion_tokens") or len(arrivals)
    decode, prefill = _rate(timings.get("predicted_per_second")), _rate(timings.get("prompt_per_second"))
    if not timings and len(arrivals) > 1 and arrivals[-1] > arrivals[0]:
        decode = (made - 1) / (arrivals[-1] - arrivals[0])
    if not timings and arrivals and prompt_tokens and arrivals[0] > begun:
        prefill = prompt_tokens / (arrivals[0] - begun)
    return Reply(text, finished, prompt_tokens, decode, prefill)


def _rate(value: object) -> float | None:
    """A finite positive number, else unknown."""
    return float(value) if isinstance(value, int | float) and 0 < value < math.inf else None


def _about(rate: float | None, least: int, most: int) -> int:
    return least if rate is None else max(least, min(most, int(rate * MEASURE_S)))


async def _is_ours(http: httpx.AsyncClient, command: Command) -> None:
    """Another program may have taken the port before ours did."""
    response = await http.get("/v1/models", timeout=10.0)
    response.raise_for_status()
    names = [model.get("id") for model in response.json().get("data", ())]
    if command.served_name not in names:
        raise EngineError(
            f"port {command.port} serves {', '.join(map(str, names))}, not {command.served_name}",
            hint="another engine listens there; launch again: the next free port is used",
            cause="port_taken",
        )


def nonsense(text: str) -> str | None:
    """What is wrong with a text that no working model gives: nothing, no letters, one word for ever."""
    said = text.strip()
    if not said:
        return "it says nothing"
    if said.count("\ufffd") > len(said) // 8:
        return "it says bytes that are no text"
    words = said.split()
    if len(said) >= 8 and len(set(said.replace(" ", ""))) == 1:
        return f"it says {said[0]!r} over and over"
    if len(words) >= 6 and len(set(words)) <= 2:
        return f"it says {words[0]!r} over and over"
    return None


def _unexpected(reply: Reply, expect: str | None) -> str | None:
    """A reply cut off by its length is no verdict: a reasoning model may not have come to the point."""
    if expect is None or expect.casefold() in reply.text.casefold() or reply.finished == "length":
        return None
    return f"{expect!r} is not in it"
