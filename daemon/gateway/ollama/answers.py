"""OpenAI's answers as Ollama's, whole or as they come. Pure: times are arguments.

Counts and durations are the engine's own: ``usage`` of both engines, ``timings`` of llama-server. What an
engine does not say, vLLM's durations, is measured by ``Clock``. Source of the fields: Ollama's api/types.go.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

NS_PER_S, NS_PER_MS = 1_000_000_000, 1_000_000
MAX_MS = 1e12  # clients read nanoseconds as 64 bits


def timestamp(at_s: float) -> str:
    """RFC 3339, as Go writes it: ``2026-11-30T10:20:30.123456Z``."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(slots=True)
class Clock:
    """Seconds of a clock that only goes on: when the request came, when the engine was ready for it, and when
    its first token came."""

    began_s: float
    ready_s: float
    first_token_s: float | None = None

    def durations(self, now_s: float, timings: Mapping[str, Any]) -> dict[str, int]:
        """Ollama's, in nanoseconds."""
        first_s = now_s if self.first_token_s is None else self.first_token_s
        return {
            "total_duration": _ns(now_s - self.began_s),
            "load_duration": _ns(self.ready_s - self.began_s),
            "prompt_eval_duration": _told_ns(timings, "prompt_ms", first_s - self.ready_s),
            "eval_duration": _told_ns(timings, "predicted_ms", now_s - first_s),
        }


def _told_ns(timings: Mapping[str, Any], key: str, measured_s: float) -> int:
    told = timings.get(key)
    if isinstance(told, int | float) and 0 <= told <= MAX_MS:
        return int(told * NS_PER_MS)
    return _ns(measured_s)


def _ns(seconds: float) -> int:
    return max(0, int(seconds * NS_PER_S))


@dataclass(slots=True)
class Call:
    """A tool call whose arguments come in parts."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def ollama(self, index: int) -> dict[str, Any]:
        function = {"index": index, "name": self.name, "arguments": _object(self.arguments)}
        return {"id": self.id, "function": function} if self.id else {"function": function}


def _object(text: str) -> dict[str, Any]:
    """Arguments as the object that clients expect, whatever a model wrote."""
    try:
        value = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}


@dataclass(slots=True)
class Translator:
    """One answer. ``is_chat``: /api/chat has ``message``, /api/generate ``response``. ``hides_thinking``: the
    client asked for none, and gets none where the model thinks all the same. ``label`` is the model as the
    client named it: some compare."""

    label: str
    clock: Clock
    is_chat: bool = True
    hides_thinking: bool = False
    calls: dict[int, Call] = field(default_factory=dict)
    finish: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)

    def chunk(self, event: Mapping[str, Any], *, at_s: float, now_s: float) -> dict[str, Any] | None:
        """What one event of a stream is to Ollama's clients; tool calls wait for the end, where they are
        whole. ``at_s`` is the time of day, ``now_s`` that of the clock."""
        self._note(event)
        choice = _choice(event)
        delta = choice.get("delta") or {}
        text, thinking = choice.get("text") or delta.get("content") or "", _reasoning(delta)
        self._collect(delta.get("tool_calls"))
        thinking = "" if self.hides_thinking else thinking
        if (text or thinking or delta.get("tool_calls")) and self.clock.first_token_s is None:
            self.clock.first_token_s = now_s
        return self._row(at_s, text, thinking) if text or thinking else None

    def whole(self, answer: Mapping[str, Any], *, at_s: float, now_s: float) -> dict[str, Any]:
        """An answer that is no stream."""
        self._note(answer)
        choice = _choice(answer)
        message = choice.get("message") or {}
        self._collect(message.get("tool_calls"))
        thinking = "" if self.hides_thinking else _reasoning(message)
        text = choice.get("text") or message.get("content") or ""
        return self._row(at_s, text, thinking, self._calls()) | self._end(now_s)

    def last(self, *, at_s: float, now_s: float) -> list[dict[str, Any]]:
        """The end of a stream: tool calls, if any, then the chunk that is ``done``."""
        found = [self._row(at_s, "", "", calls)] if (calls := self._calls()) else []
        return [*found, self._row(at_s, "", "") | self._end(now_s)]

    def _note(self, event: Mapping[str, Any]) -> None:
        self.finish = _choice(event).get("finish_reason") or self.finish
        self.usage = event.get("usage") or self.usage
        self.timings = event.get("timings") or self.timings

    def _collect(self, parts: object) -> None:
        for number, part in enumerate(parts if isinstance(parts, list) else []):
            index = part.get("index")
            call = self.calls.setdefault(number if index is None else index, Call())
            function = part.get("function") or {}
            call.id = part.get("id") or call.id
            call.name += function.get("name") or ""
            call.arguments += function.get("arguments") or ""

    def _calls(self) -> list[dict[str, Any]]:
        return [call.ollama(index) for index, call in sorted(self.calls.items())]

    def _row(
        self, at_s: float, text: str, thinking: str, calls: list[dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"model": self.label, "created_at": timestamp(at_s)}
        extra = {"thinking": thinking} if thinking else {}
        if self.is_chat:
            called = {"tool_calls": calls} if calls else {}
            return row | {"message": {"role": "assistant", "content": text, **extra, **called}, "done": False}
        return row | {"response": text, **extra, "done": False}

    def _end(self, now_s: float) -> dict[str, Any]:
        prompt, answer = self.usage.get("prompt_tokens"), self.usage.get("completion_tokens")
        if prompt is None and self.timings.get("prompt_n") is not None:
            prompt = self.timings["prompt_n"] + (self.timings.get("cache_n") or 0)
        answer = self.timings.get("predicted_n") if answer is None else answer
        counts = {"prompt_eval_count": prompt, "eval_count": answer}
        told = {name: count for name, count in counts.items() if count is not None}
        reason = "length" if self.finish == "length" else "stop"
        return {"done": True, "done_reason": reason, **told, **self.clock.durations(now_s, self.timings)}


def empty(label: str, reason: str, *, at_s: float, is_chat: bool) -> dict[str, Any]:
    """The answer to a request without a prompt: the model is loaded."""
    said = {"message": {"role": "assistant", "content": ""}} if is_chat else {"response": ""}
    return {"model": label, "created_at": timestamp(at_s), **said, "done": True, "done_reason": reason}


def _choice(event: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _reasoning(message: Mapping[str, Any]) -> str:
    """llama-server and vLLM say ``reasoning_content``, newer vLLM ``reasoning``."""
    return str(message.get("reasoning_content") or message.get("reasoning") or "")
