"""Removes from a request what rules.py names, and nothing else. Pure.

A body in which no rule matches is returned as it came, byte for byte.
"""

from typing import Any

import msgspec

from daemon.gateway.conversations.digest import SYSTEM_ROLES
from daemon.gateway.conversations.rules import RULES, Place, Rule


def normalised(body: bytes) -> bytes:
    """``body`` is a request for a chat in OpenAI's or Anthropic's form; any other is returned as it is."""
    rules = [rule for rule in RULES if rule.marker in body]
    if not rules:
        return body
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        changed = {key: _changed(key, fields[key], rules) for key in ("system", "messages") if key in fields}
    except (msgspec.DecodeError, RecursionError):
        return body
    changed = {key: value for key, value in changed.items() if value is not None}
    return msgspec.json.encode({**fields, **changed}) if changed else body


def _changed(key: str, raw: msgspec.Raw, rules: list[Rule]) -> Any:
    """``None`` where nothing matched."""
    value = msgspec.json.decode(raw)
    new = _system(value, rules) if key == "system" else _messages(value, rules)
    return None if new == value else new


def _system(content: Any, rules: list[Rule]) -> Any:
    """A text, or blocks. Only the first of them is the beginning of the prompt."""
    if isinstance(content, str):
        return _without_prefix(content, rules)
    if not isinstance(content, list) or not content:
        return content
    text = _text_of(content[0])
    left = None if text is None else _without_prefix(text, rules)
    if left == text:
        return content
    return content[1:] if not left and len(content) > 1 else [{**content[0], "text": left}, *content[1:]]


def _messages(messages: Any, rules: list[Rule]) -> Any:
    if not isinstance(messages, list):
        return messages
    kept = [_message(message, rules, is_first=not index) for index, message in enumerate(messages)]
    return [message for message in kept if message is not None]


def _message(message: Any, rules: list[Rule], *, is_first: bool) -> Any:
    """``None`` for one that is removed."""
    if not isinstance(message, dict):
        return message
    content, is_system = message.get("content"), message.get("role") in SYSTEM_ROLES
    if is_system and is_first:
        new = _system(content, rules)
        return message if new == content else {**message, "content": new}
    if isinstance(content, str):
        return None if is_system and _is_whole(content, rules) else message
    if not isinstance(content, list):
        return message
    left = [block for block in content if not _is_whole(_text_of(block) or "", rules)]
    if left:
        return message if len(left) == len(content) else {**message, "content": left}
    return None if is_system and content else message


def _text_of(block: Any) -> str | None:
    text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else None
    return text if isinstance(text, str) else None


def _without_prefix(text: str, rules: list[Rule]) -> str:
    for rule in rules:
        if rule.place is Place.PREFIX and (found := rule.pattern.match(text)) is not None:
            return text[found.end() :]
    return text


def _is_whole(text: str, rules: list[Rule]) -> bool:
    return any(rule.place is Place.WHOLE and rule.pattern.fullmatch(text) is not None for rule in rules)
