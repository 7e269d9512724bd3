"""Ollama's chat and generate requests as OpenAI's. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.ollama import messages, options

LEVELS = ("low", "medium", "high", "max")
_PARTS = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)?")
IN_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"^-?(\d+(\.\d*)?|\.\d+)((ns|us|µs|ms|s|m|h)(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))*)?$")


@dataclass(frozen=True, slots=True)
class Target:
    """The launch that answers, as far as a request depends on it."""

    name: str
    is_vllm: bool = False
    context_tokens: int | None = None
    takes_images: bool = False


def chat(asked: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """The body of ``/v1/chat/completions``. Raises: GatewayError."""
    body = _common(asked, target)
    body["messages"] = _checked(messages.to_openai(asked.get("messages") or []), target)
    if tools := asked.get("tools"):
        body["tools"] = tools
    return body


def generate(asked: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """The body of ``/v1/chat/completions``: the model's own template is applied, as Ollama applies it.
    Raises: GatewayError."""
    _check_generate(asked)
    body = _common(asked, target)
    system = text_of(asked, "system")
    body["messages"] = [{"role": "system", "content": system}] if system else []
    content = messages.content_of(text_of(asked, "prompt"), asked.get("images"))
    body["messages"] = _checked([*body["messages"], {"role": "user", "content": content}], target)
    return body


def raw(asked: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """The body of ``/v1/completions``: the prompt as it is. Raises: GatewayError."""
    _check_generate(asked)
    body = _common(asked, target)
    body.pop("chat_template_kwargs", None)
    body["prompt"] = text_of(asked, "prompt")
    return body


def is_stream(asked: Mapping[str, Any]) -> bool:
    """Ollama streams unless it is told not to."""
    return asked.get("stream") is not False


def keep_alive_s(asked: Mapping[str, Any]) -> float | None:
    """``keep_alive`` in seconds: 0 unloads, less than that is ``inf``, for ever. Raises: GatewayError for
    what is no duration."""
    value = asked.get("keep_alive")
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and _DURATION.match(value)):
        raise GatewayError(Reason.INVALID, f"keep_alive: {str(value)[:40]!r} is no duration such as 5m or -1")
    if str(value).startswith("-"):
        return inf
    parts = _PARTS.findall(value) if isinstance(value, str) else [(str(value), "s")]
    return sum(float(number) * IN_SECONDS[unit or "s"] for number, unit in parts)


def text_of(asked: Mapping[str, Any], key: str) -> str:
    """Raises: GatewayError for a value that is no text."""
    value = asked.get(key)
    if value is not None and not isinstance(value, str):
        raise GatewayError(Reason.INVALID, f"{key} must be a text")
    return value or ""


def options_of(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Raises: GatewayError."""
    value = asked.get("options")
    if value is not None and not isinstance(value, dict):
        raise GatewayError(Reason.INVALID, "options must be an object")
    return value or {}


def _checked(found: list[dict[str, Any]], target: Target) -> list[dict[str, Any]]:
    """Raises: GatewayError for images that the model can't see, which engines refuse in other words."""
    if messages.has_images(found) and not target.takes_images:
        raise GatewayError(Reason.INVALID, f"{target.name} takes no images")
    return found


def _common(asked: Mapping[str, Any], target: Target) -> dict[str, Any]:
    given = options_of(asked)
    options.check_context(given, name=target.name, context_tokens=target.context_tokens)
    body = {"model": target.name, **options.sampling(given, is_vllm=target.is_vllm)}
    if (wanted := _response_format(asked.get("format"))) is not None:
        body["response_format"] = wanted
    if kwargs := _thinking(asked.get("think")):
        body["chat_template_kwargs"] = kwargs
    if is_stream(asked):
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _response_format(value: object) -> dict[str, Any] | None:
    """``json`` is any object, an object is a JSON schema."""
    if value in (None, ""):
        return None
    if value == "json":
        return {"type": "json_object"}
    if isinstance(value, dict):
        return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": value}}
    raise GatewayError(Reason.INVALID, 'format must be "json" or a JSON schema')


def _thinking(value: object) -> dict[str, Any]:
    """What chat templates read: ``enable_thinking`` (Qwen, GLM), ``reasoning_effort`` (gpt-oss)."""
    if value in (None, ""):
        return {}
    if isinstance(value, bool):
        return {"enable_thinking": value}
    if value in LEVELS:
        return {"enable_thinking": True, "reasoning_effort": "high" if value == "max" else value}
    raise GatewayError(Reason.INVALID, f"think must be true, false or one of {', '.join(LEVELS)}")


def _check_generate(asked: Mapping[str, Any]) -> None:
    """What would change the answer, and can't be done, is refused. Raises: GatewayError."""
    if asked.get("template"):
        raise GatewayError(
            Reason.NOT_SUPPORTED, "template: the model's own is used; with raw, the prompt is sent as it is"
        )
    if asked.get("context"):
        message = "context: send the conversation as messages to /api/chat, whose prefix stays cached"
        raise GatewayError(Reason.NOT_SUPPORTED, message)
    if asked.get("suffix"):
        message = "suffix: send the prompt with the model's own markers for filling in, with raw"
        raise GatewayError(Reason.NOT_SUPPORTED, message)
