"""The prompt of a request as a chain: one digest for each message, of it and of all before it. Pure.

Two requests with the same first links begin with the same tokens. The reverse need not hold: an engine
compares tokens, and is asked for nothing that rests on the chain alone.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from daemon.launches.conversations.prompt import Prompt
from daemon.state.records import DIGEST_BYTES

CHUNK = 2048  # bytes of a prompt without messages that make one link
SYSTEM_ROLES = ("system", "developer")
# They come before the messages in the prompt, as a chat template renders it.
HEAD = ("system", "instructions", "tools", "chat_template_kwargs", "reasoning_effort", "thinking")
MESSAGES = {
    "/v1/chat/completions": "messages",
    "/v1/messages": "messages",
    "/v1/responses": "input",
    "/v1/completions": "prompt",
}


def prompt_of(path: str, fields: dict[str, msgspec.Raw]) -> Prompt | None:
    """``None`` for a path that has none, and for a request that is none. Raises: msgspec.DecodeError."""
    key = MESSAGES.get(path)
    if key is None or key not in fields:
        return None
    head = [bytes(fields[name]) for name in HEAD if name in fields]
    messages = msgspec.json.decode(fields[key])
    links = [_canonical(message) for message in _parts(messages)]
    if not links:
        return None
    systems = _leading_systems(messages)
    chain, sizes, size, last = [], [], 0, b""
    for link in [b"".join(head), *links]:
        last = blake2b(link, digest_size=DIGEST_BYTES, key=last).digest()
        size += len(link)
        chain.append(last)
        sizes.append(size)
    return Prompt(tuple(chain), tuple(sizes), 1 + systems)


def _parts(messages: Any) -> Iterator[Any]:
    """Messages; a text is cut into pieces, so that a longer one begins with those of a shorter."""
    if isinstance(messages, str):
        yield from (messages[at : at + CHUNK] for at in range(0, len(messages), CHUNK))
    elif isinstance(messages, list):
        yield from messages


def _canonical(message: Any) -> bytes:
    """Without what clients move from message to message as a conversation goes on."""
    if isinstance(message, dict):
        message = {key: _content(value) if key == "content" else value for key, value in message.items()}
        message.pop("cache_control", None)
    return msgspec.json.encode(message, order="deterministic")


def _content(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    blocks = [
        {key: value for key, value in block.items() if key != "cache_control"}
        if isinstance(block, dict)
        else block
        for block in content
    ]
    only = blocks[0] if len(blocks) == 1 else None
    if isinstance(only, dict) and only.keys() == {"type", "text"} and only["type"] == "text":
        return only["text"]
    return blocks


def _leading_systems(messages: Any) -> int:
    count = 0
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict) or message.get("role") not in SYSTEM_ROLES:
            break
        count += 1
    return count
