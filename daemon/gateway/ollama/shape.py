"""What an engine's answer may look like: checked once, before it is translated."""

from typing import Any

import msgspec

from daemon.gateway.errors import GatewayError, Reason


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(msgspec.Struct):
    text: str | None = None
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Timings(msgspec.Struct):
    prompt_ms: float | None = None
    predicted_ms: float | None = None
    prompt_n: int | None = None
    cache_n: int | None = None
    predicted_n: int | None = None


class Shape(msgspec.Struct):
    """The members that are read, of one event or of a whole answer; others may be anything."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    timings: Timings | None = None


def checked(told: object) -> dict[str, Any]:
    """Raises: GatewayError."""
    if not isinstance(told, dict):
        raise GatewayError(Reason.ENGINE_FAILED, "the engine sent an event that is no object")
    try:
        msgspec.convert(told, Shape)
    except (msgspec.ValidationError, RecursionError) as error:
        raise GatewayError(Reason.ENGINE_FAILED, f"the engine's answer can't be read: {error}") from error
    return told
