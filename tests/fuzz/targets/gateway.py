"""The gateway: Ollama's requests, answers and errors of engines, names of models, hosts and origins."""

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from daemon.gateway import routing
from daemon.gateway.engines import Answer
from daemon.gateway.errors import GatewayError
from daemon.gateway.forward import error_of
from daemon.gateway.listener import origins
from daemon.gateway.ollama import requests
from daemon.gateway.ollama.answers import Clock, Translator
from daemon.gateway.ollama.chat import Builder
from daemon.gateway.ollama.events import Events
from daemon.gateway.ollama.handling import line, name_of
from daemon.gateway.ollama.shape import checked
from daemon.gateway.routing import ServedName
from tests.fuzz.mutation import json_mutation

ALLOWED = (GatewayError, msgspec.DecodeError)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 500, 64, 16384
SERVED = (ServedName("qwen3-8b", ("Qwen/Qwen3-8B-GGUF:Q4_K_M",)), ServedName("gpt-oss-20b", ("gpt-oss:20b",)))
CALL = {"id": "a", "function": {"name": "f", "arguments": {"city": "Bern"}}}
CHAT = {
    "model": "qwen3:8b",
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hi", "images": ["iVBORw0KGgo="]},
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [CALL]},
        {"role": "tool", "content": "3 C", "tool_name": "f", "tool_call_id": "a"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "options": {"temperature": 0.1, "num_ctx": 4096, "stop": ["x"], "seed": 1, "num_predict": -1},
    "format": {"type": "object"},
    "think": "low",
    "keep_alive": "5m",
    "stream": True,
}
GENERATE = {
    "model": "a",
    "prompt": "b",
    "system": "c",
    "images": [],
    "raw": False,
    "keep_alive": -1,
    "format": "json",
}
DELTA = {
    "content": "a",
    "reasoning_content": "b",
    "tool_calls": [{"index": 0, "id": "x", "function": {"name": "f"}}],
}
EVENT = {
    "choices": [{"index": 0, "delta": DELTA, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 0}},
    "timings": {"prompt_ms": 1.5, "predicted_ms": 2},
}
ANSWER = {"choices": [{"message": DELTA, "text": "a", "finish_reason": "stop"}], "usage": EVENT["usage"]}
ERROR = {
    "error": {
        "code": 400,
        "type": "exceed_context_size_error",
        "message": "m",
        "n_prompt_tokens": 9,
        "n_ctx": 4,
    }
}
_mutate_json = json_mutation(
    tuple({*CHAT, *GENERATE, *DELTA, *EVENT, "low", "5m", "0s", "json", "https://a.b"})
)


def seeds() -> Iterator[bytes]:
    for kind, value in enumerate(
        (CHAT, GENERATE, GENERATE, EVENT, ANSWER, ERROR, ["localhost:8411", "null", "qwen3:8b"])
    ):
        yield bytes([kind]) + msgspec.json.encode(value)


def mutate(data: bytes, rng: random.Random) -> bytes:
    return data[:1] + _mutate_json(data[1:], rng)


def run(data: bytes) -> None:
    if not data:
        return
    RUNS[data[0] % len(RUNS)](data[1:])


def _request(build: Builder, data: bytes) -> None:
    asked = msgspec.json.decode(data, type=dict[str, Any])
    name_of(asked)
    requests.keep_alive_s(asked), requests.is_stream(asked)
    msgspec.json.encode(build(asked, requests.Target("qwen3-8b", context_tokens=8192, takes_images=True)))


def _translator() -> Translator:
    return Translator("a", Clock(0.0, 1.0))


def _stream(data: bytes) -> None:
    translator, events = _translator(), Events()
    for part in (b"data: ", data[: len(data) // 2], data[len(data) // 2 :], b"\n\n"):
        for event in events.feed(part):
            if row := translator.chunk(event, at_s=0.0, now_s=2.0):
                line(row)
    for row in translator.last(at_s=0.0, now_s=3.0):
        line(row)


def _whole(data: bytes) -> None:
    line(_translator().whole(checked(msgspec.json.decode(data)), at_s=0.0, now_s=1.0))


def _error(data: bytes) -> None:
    launch = SimpleNamespace(name="a", plan=None)
    for status in (400, 404, 500, 503):
        refusal = error_of(cast("Answer", SimpleNamespace(first=data, launch=launch, status=status)))
        assert 400 <= refusal.status < 600
        str(refusal)


def _names(data: bytes) -> None:
    words = msgspec.json.decode(data, type=list[str])
    for word in words[:20]:
        origins.is_loopback(word), origins.host_name(word)
        for check in (
            lambda word=word: origins.check_host(word),
            lambda word=word: origins.check_origin("h", word),
        ):
            _allowed(check)
        _allowed(lambda word=word: routing.find(word, SERVED))


def _allowed(call: Any) -> None:
    try:
        call()
    except GatewayError as error:
        str(error)


RUNS = (
    lambda data: _request(requests.chat, data),
    lambda data: _request(requests.generate, data),
    lambda data: _request(requests.raw, data),
    _stream,
    _whole,
    _error,
    _names,
)
