"""One streamed answer of an engine, and how fast it came."""

import json
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

MAX_ANSWER_BYTES = 4 << 20  # a stream takes some hundred bytes for each of at most 64 tokens


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer and its speed. ``finished`` is the engine's reason to end it."""

    text: str
    finished: str | None
    prompt_tokens: int | None
    decode_tokens_per_s: float | None
    prefill_tokens_per_s: float | None


async def stream(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], *, fresh_tokens: int | None = None
) -> Reply:
    """One streamed answer; ``fresh_tokens`` of its prompt are in no cache, ``None``: all of them. Raises: as
    ``ask``."""
    text, finished = "", None
    usage: dict[str, Any] = {}
    timings: dict[str, Any] = {}
    begun = time.monotonic()
    arrivals: list[float] = []
    async with http.stream("POST", path, json=body) as response:
        response.raise_for_status()
        async for line in _lines(response):
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
    return _reply(
        text,
        finished,
        usage=usage,
        timings=timings,
        begun=begun,
        arrivals=arrivals,
        fresh_tokens=fresh_tokens,
    )


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    """As ``aiter_lines``, within a length: an engine may go on for ever, also without a newline."""
    count_bytes, rest = 0, b""
    async for chunk in response.aiter_bytes():
        count_bytes += len(chunk)
        check_length(count_bytes)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
    yield rest.decode(errors="replace")


def _piece(choice: dict[str, Any]) -> str:
    """The text that one chunk adds, of the answer or of the reasoning before it."""
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
    fresh_tokens: int | None,
) -> Reply:
    """Rates are the engine's own (llama.cpp), else by the clock, where the first token ends the prompt."""
    prompt_tokens, tokens = usage.get("prompt_tokens"), usage.get("completion_tokens") or len(arrivals)
    decode, prefill = _rate(timings.get("predicted_per_second")), _rate(timings.get("prompt_per_second"))
    if not timings and len(arrivals) > 1 and arrivals[-1] > arrivals[0]:
        decode = (tokens - 1) / (arrivals[-1] - arrivals[0])
    read_tokens = fresh_tokens or prompt_tokens
    if not timings and arrivals and read_tokens and arrivals[0] > begun:
        prefill = read_tokens / (arrivals[0] - begun)
    return Reply(text, finished, prompt_tokens, decode, prefill)


def _rate(value: object) -> float | None:
    """A finite positive number, else unknown."""
    return float(value) if isinstance(value, int | float) and 0 < value < math.inf else None


def check_length(count_bytes: int) -> None:
    if count_bytes > MAX_ANSWER_BYTES:
        raise ValueError(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
