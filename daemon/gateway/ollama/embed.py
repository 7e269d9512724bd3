"""``/api/embed`` and ``/api/embeddings``, asked of an engine as OpenAI's ``/v1/embeddings``."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.forward import error_of
from daemon.gateway.listener.exchange import Exchange
from daemon.gateway.ollama.answers import Clock
from daemon.gateway.ollama.handling import name_of
from daemon.gateway.ollama.keeping import keep
from daemon.gateway.ollama.requests import keep_alive_s
from daemon.gateway.served import find_launch
from domain.models.kinds import Kind

DURATIONS = ("total_duration", "load_duration")


class Row(msgspec.Struct):
    index: int
    embedding: list[float]


class Told(msgspec.Struct):
    """What ``/v1/embeddings`` answers."""

    data: list[Row]
    usage: dict[str, Any] = {}


async def embed(exchange: Exchange) -> None:
    """A text that is longer than the context is refused, whatever ``truncate`` says: nothing is cut."""
    asked = await exchange.json()
    label, texts = name_of(asked), _texts(asked)
    dimensions = asked.get("dimensions")
    if dimensions is not None and (not isinstance(dimensions, int) or dimensions < 1):
        raise GatewayError(Reason.INVALID, "dimensions must be a number of at least 1")
    clock, vectors, tokens = await _ask(exchange, label, texts, keep_s=keep_alive_s(asked))
    durations = clock.durations(time.monotonic(), {})
    answer = {
        "model": label,
        "embeddings": [shortened(vector, dimensions) for vector in vectors],
        **{name: durations[name] for name in DURATIONS},
    }
    await exchange.send_json(answer if tokens is None else {**answer, "prompt_eval_count": tokens})


async def embeddings(exchange: Exchange) -> None:
    """The older path: one text, one vector."""
    asked = await exchange.json()
    prompt = asked.get("prompt")
    if prompt is not None and not isinstance(prompt, str):
        raise GatewayError(Reason.INVALID, "prompt must be a text")
    _, vectors, _ = await _ask(
        exchange, name_of(asked), [prompt] if prompt else [], keep_s=keep_alive_s(asked)
    )
    await exchange.send_json({"embedding": vectors[0] if vectors else []})


def shortened(vector: Sequence[float], dimensions: int | None) -> Sequence[float]:
    """The first ``dimensions``, with the length 1 again, as Ollama does it."""
    if dimensions is None or dimensions >= len(vector):
        return vector
    kept = vector[:dimensions]
    length = math.sqrt(sum(value * value for value in kept))
    return [value / length for value in kept] if length else kept


def _texts(asked: Mapping[str, Any]) -> list[str]:
    value = asked.get("input")
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise GatewayError(Reason.INVALID, "input must be a text or a list of texts")
    return [text for text in texts if text]


async def _ask(
    exchange: Exchange, label: str, texts: list[str], *, keep_s: float | None
) -> tuple[Clock, list[list[float]], int | None]:
    """Without a text the model is loaded, and there is no vector. Raises: GatewayError."""
    gateway = exchange.gateway
    launch = find_launch(gateway.app, label, (Kind.EMBEDDING,))
    exchange.count_as(launch.name, computes=bool(texts))
    began_s = time.monotonic()
    launch, _ = await gateway.engines.hold.until_ready(launch.name)
    keep(launch, keep_s)
    clock = Clock(began_s, time.monotonic())
    if not texts:
        return clock, [], None
    body = msgspec.json.encode({"model": launch.name, "input": texts, "encoding_format": "float"})
    headers = {b"content-type": b"application/json"}
    answer = await gateway.engines.ask(
        launch, "POST", "/v1/embeddings", body=body, headers=headers, asker=exchange.asker
    )
    answer.close()
    if answer.status >= 400:
        raise error_of(answer)
    try:
        told = msgspec.json.decode(answer.first, type=Told)
    except msgspec.DecodeError as error:
        message = f"the engine of {launch.name} answered no embeddings: {error}"
        raise GatewayError(Reason.ENGINE_FAILED, message) from error
    rows = sorted(told.data, key=lambda row: row.index)
    return clock, [row.embedding for row in rows], told.usage.get("prompt_tokens")
