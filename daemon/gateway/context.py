"""Whether a long request fits in the context, asked before the engine has a slot for it.

An engine refuses what does not fit, but llama-server only once a slot is free, which takes as long as the
answers before. What is short for sure costs nothing here; the rest is counted by the engine's own tokenizer.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from daemon.gateway.engines import Engines
from daemon.gateway.errors import ContextExceededError, GatewayError
from daemon.gateway.facts import EngineFacts
from daemon.launches.launch import Launch
from domain.launches.launch import LaunchState
from domain.launches.plan import LLAMA_CPP

# A token of English or of code has about four bytes. Where it has fewer, as in some languages, the engine
# refuses, only later.
COUNTED_FROM_BYTES_PER_TOKEN = 3
# Their bytes say nothing of their tokens, and a tokenizer of text can't count them.
NOT_TEXT = (b'"image', b'"input_image', b'"input_audio', b'"audio')
COUNTED_BY_ENGINE = "/v1/messages/count_tokens"


async def check_context(engines: Engines, facts: EngineFacts, launch: Launch, path: str, body: bytes) -> None:
    """Raises: ContextExceededError. What can't be counted is left to the engine."""
    plan = launch.plan
    if plan is None or plan.engine != LLAMA_CPP or launch.state is not LaunchState.READY:
        return
    if len(body) < plan.context_tokens * COUNTED_FROM_BYTES_PER_TOKEN:
        return
    context_tokens = (await facts.of(launch)).context_tokens or plan.context_tokens
    if await asyncio.to_thread(_has_more_than_text, body):  # it is long
        return
    try:
        count = await _count(engines, launch, path, body)
    except (GatewayError, msgspec.DecodeError):
        return
    if count is not None and count >= context_tokens:  # one token at least is to be generated
        raise ContextExceededError(launch.name, prompt_tokens=count, context_tokens=context_tokens)


async def _count(engines: Engines, launch: Launch, path: str, body: bytes) -> int | None:
    """Tokens of the prompt; ``None`` for a path whose prompts can't be counted."""
    if path == "/v1/messages":
        told = await _ask(engines, launch, COUNTED_BY_ENGINE, body)
        return _number(told.get("input_tokens"))
    if path == "/v1/chat/completions":
        prompt = (await _ask(engines, launch, "/apply-template", body)).get("prompt")
    elif path == "/v1/completions":
        prompt = await asyncio.to_thread(_member, body, "prompt")
    else:
        return None
    if not isinstance(prompt, str):
        return None
    asked = msgspec.json.encode({"content": prompt, "add_special": True, "parse_special": True})
    tokens = (await _ask(engines, launch, "/tokenize", asked)).get("tokens")
    return len(tokens) if isinstance(tokens, list) else None


async def _ask(engines: Engines, launch: Launch, path: str, body: bytes) -> Mapping[str, Any]:
    answer = await engines.ask(
        launch, "POST", path, body=body, headers={b"content-type": b"application/json"}
    )
    answer.close()
    try:
        told = json.loads(answer.first)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) and answer.status == 200 else {}


def _has_more_than_text(body: bytes) -> bool:
    return any(word in body for word in NOT_TEXT)


def _member(body: bytes, key: str) -> Any:
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return msgspec.json.decode(fields[key]) if key in fields else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
