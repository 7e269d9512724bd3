"""A request passed to an engine that speaks the client's protocol itself, and its answer, byte for byte."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daemon.gateway.context import check_context
from daemon.gateway.engines import Answer
from daemon.gateway.errors import ContextExceededError, GatewayError, Reason
from daemon.gateway.listener.exchange import Exchange, encode
from daemon.gateway.served import find_launch
from daemon.launches.launch import Launch
from domain.launches.plan import VLLM
from domain.models.kinds import Kind

# By the type of llama-server's errors (tools/server/server-common.cpp, format_error_response)
REASONS = {
    "not_found_error": Reason.NOT_FOUND,
    "not_supported_error": Reason.NOT_SUPPORTED,
    "unavailable_error": Reason.UNAVAILABLE,
    "authentication_error": Reason.ENGINE_FAILED,
    "server_error": Reason.ENGINE_FAILED,
}
# They are answered without a slot of the engine: nothing is to wait for
WITHOUT_SLOT = frozenset({"/v1/messages/count_tokens"})
CONTEXT_WORDS = ("maximum context length", "context size", "longer than the maximum model length")


async def forward(exchange: Exchange, path: str, kinds: Sequence[Kind] = (Kind.MODEL,)) -> None:
    """``path`` is the engine's. Raises: GatewayError."""
    fields = await exchange.fields()
    asked = text_of(fields, "model")
    launch = find_launch(exchange.gateway.app, asked, kinds)
    exchange.count_as(launch.name, computes=path not in WITHOUT_SLOT)
    body = await exchange.body()
    if asked != launch.name:  # vLLM knows its model by one name, and answers tell it
        body = await encode({**fields, "model": launch.name}, body)
    if fields.get("stream") == msgspec.Raw(b"true"):
        exchange.watch_silence()
    gateway = exchange.gateway
    asker = None if path in WITHOUT_SLOT else exchange.asker
    await check_context(gateway.engines, gateway.facts, launch, path, body)
    answer = await gateway.engines.ask(
        launch,
        exchange.method,
        with_query(path, exchange.query),
        body=body,
        headers=exchange.headers,
        asker=asker,
    )
    try:
        await relay(exchange, answer)
    finally:
        answer.close()


async def relay(exchange: Exchange, answer: Answer) -> None:
    """Raises: GatewayError for an answer that is an error, and where the engine ends in the middle."""
    if answer.status >= 400:
        raise error_of(answer)
    if answer.is_stream or exchange.has_begun:
        await exchange.send_stream(answer.parts(), content_type=answer.content_type)
        return
    await exchange.send_bytes(
        answer.first, status=answer.status, headers=[(b"content-type", answer.content_type)]
    )


def error_of(answer: Answer) -> GatewayError:
    """What an engine refused, as an error that every dialect can write. llama-server and vLLM write
    ``{"error": {...}}``, FastAPI in front of vLLM ``{"detail": ...}``."""
    told = _error_members(answer.first)
    name, kind = answer.launch.name, str(told.get("type", ""))
    message = str(told.get("message") or f"the engine of {name} answered {answer.status}")
    if (exceeded := _context_error(answer.launch, told, message)) is not None:
        return exceeded
    if answer.status == 404 and kind in ("not_found_error", "NotFoundError", ""):
        engine = "its engine" if answer.launch.plan is None else answer.launch.plan.engine
        return GatewayError(Reason.NOT_SUPPORTED, f"{engine}, which serves {name}, does not answer this path")
    if answer.status < 500:
        return GatewayError(REASONS.get(kind, Reason.INVALID), message, status=answer.status)
    reason = REASONS.get(kind, Reason.ENGINE_FAILED)
    status = 502 if answer.status == 500 and reason is Reason.ENGINE_FAILED else answer.status
    return GatewayError(reason, message, status=status, retry_after_s=5 if status == 503 else None)


def _error_members(content: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return {"message": content[:500].decode(errors="replace").strip()}
    if not isinstance(told, dict):
        return {}
    inner = told.get("error", told)
    if isinstance(inner, dict):
        return inner if "detail" not in inner else {"message": json.dumps(inner["detail"])[:2000]}
    return {"message": str(inner)[:2000]}


def _context_error(launch: Launch, told: Mapping[str, Any], message: str) -> ContextExceededError | None:
    """llama-server gives both numbers as members, vLLM in its message: "This model's maximum context length
    is 1024 tokens. However, your request has 3031 input tokens"."""
    if told.get("type") == "exceed_context_size_error":
        prompt, context = told.get("n_prompt_tokens"), told.get("n_ctx")
        if isinstance(prompt, int) and isinstance(context, int):
            return ContextExceededError(launch.name, prompt_tokens=prompt, context_tokens=context)
    is_vllm = launch.plan is not None and launch.plan.engine == VLLM
    if is_vllm and launch.plan is not None and any(words in message for words in CONTEXT_WORDS):
        numbers = [int(word) for word in re.findall(r"(\d{1,9}) (?:input |prompt )?tokens", message)]
        context = numbers[0] if numbers else launch.plan.context_tokens
        longer = [number for number in numbers[1:] if number > context]
        prompt = longer[0] if longer else None
        return ContextExceededError(launch.name, prompt_tokens=prompt, context_tokens=context)
    return None


def text_of(fields: Mapping[str, msgspec.Raw], key: str) -> str | None:
    """Raises: GatewayError for a value that is no text."""
    if key not in fields:
        return None
    try:
        return msgspec.json.decode(fields[key], type=str | None)
    except msgspec.DecodeError as error:  # also for text that is not UTF-8, which a Raw may hold
        raise GatewayError(Reason.INVALID, f"{key}: {error}") from error


def with_query(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path
