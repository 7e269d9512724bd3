"""Ollama's messages as OpenAI's: images, tool calls and what tools answered. Pure.

Ollama's tool calls have arguments that are objects, and often no id; OpenAI's are JSON text, and each answer
names the id of its call. Ids that are missing are made here, and answers get them in the order of the calls.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.gateway.errors import GatewayError, Reason

# The first characters of each format's signature in base64
IMAGE_TYPES = {"iVBOR": "png", "/9j/": "jpeg", "R0lG": "gif", "UklGR": "webp", "Qk": "bmp"}
ROLES = ("system", "developer", "user", "assistant", "tool")
Pending = list[tuple[str, str]]  # id and name of each call that has no answer yet


def to_openai(messages: object) -> list[dict[str, Any]]:
    """Raises: GatewayError for what is no message."""
    if not isinstance(messages, list):
        raise GatewayError(Reason.INVALID, "messages must be a list")
    pending: Pending = []
    return [_message(message, number, pending) for number, message in enumerate(messages)]


def has_images(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Of OpenAI's messages."""
    return any(isinstance(message.get("content"), list) for message in messages)


def _message(message: object, number: int, pending: Pending) -> dict[str, Any]:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise GatewayError(Reason.INVALID, f"messages[{number}] must have a role of {', '.join(ROLES)}")
    found: dict[str, Any] = {
        "role": message["role"],
        "content": content_of(message.get("content"), message.get("images")),
    }
    if message["role"] == "assistant":
        if message.get("thinking"):
            found["reasoning_content"] = message["thinking"]
        if message.get("tool_calls"):
            found["tool_calls"] = _calls(message["tool_calls"], number, pending)
    if message["role"] == "tool":
        found["tool_call_id"] = _answered(message, number, pending)
        if name := message.get("tool_name") or message.get("name"):
            found["name"] = name
    return found


def content_of(text: object, images: object) -> str | list[dict[str, Any]]:
    """A text alone, or with its images. Raises: GatewayError."""
    if text is not None and not isinstance(text, str):
        raise GatewayError(Reason.INVALID, "content must be a text; pictures belong in images, as base64")
    if not images:
        return text or ""
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise GatewayError(Reason.INVALID, "images must be a list of base64 texts")
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    return parts + [{"type": "image_url", "image_url": {"url": image_url(image)}} for image in images]


def image_url(image: str) -> str:
    if image.startswith("data:"):
        return image
    for beginning, kind in IMAGE_TYPES.items():
        if image.startswith(beginning):
            return f"data:image/{kind};base64,{image}"
    raise GatewayError(Reason.INVALID, "an image must be a PNG, JPEG, GIF, WebP or BMP as base64")


def _calls(calls: object, number: int, pending: Pending) -> list[dict[str, Any]]:
    found = []
    for index, call in enumerate(calls if isinstance(calls, list) else []):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise GatewayError(Reason.INVALID, f"messages[{number}].tool_calls[{index}] has no function.name")
        arguments = function.get("arguments") or {}
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        call_id = str(call.get("id") or f"call_{number}_{index}")
        pending.append((call_id, function["name"]))
        found.append(
            {"id": call_id, "type": "function", "function": {"name": function["name"], "arguments": text}}
        )
    return found


def _answered(message: Mapping[str, Any], number: int, pending: Pending) -> str:
    """The id of the call that a tool's message answers: as it says, else the first one of that name, or at
    all, which has no answer yet."""
    own, name = message.get("tool_call_id"), message.get("tool_name") or message.get("name")
    if own:
        pending[:] = [call for call in pending if call[0] != own]
        return str(own)
    found = next((call for call in pending if call[1] == name), pending[0] if pending else None)
    if found is None:
        return f"call_{number}"
    pending.remove(found)
    return found[0]
