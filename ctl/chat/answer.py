"""Asks a served model over its OpenAI API and streams the answer.

On the standard library, as ctl/client.py: httpx-sse needs httpx.
"""

import json
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from domain.errors import EngineError

# Between two tokens. Before the first one the whole prompt is processed, possibly on a slow CPU.
SILENCE_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class AnswerStats:
    """Length and speed of an answer. ``tokens_per_s`` is the engine's own figure where it reports one, else
    measured from the first token to the last; ``None`` for an answer of one token."""

    tokens: int | None
    tokens_per_s: float | None
    finish_reason: str | None


Message = dict[str, str]  # as OpenAI's API has it: "role" and "content"


@dataclass(frozen=True, slots=True)
class Sampling:
    """``None`` leaves it to the engine."""

    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Of an answer, or of the thoughts before it."""

    text: str
    is_thought: bool = False


class Chat:
    """Iterate over it for the text of the answer; ``stats`` is set after that."""

    def __init__(self, base: str, model: str, messages: Sequence[Message], sampling: Sampling) -> None:
        self._url = urlsplit(f"{base}/chat/completions")
        figures = {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature}
        self._body = {
            "model": model,
            "messages": list(messages),
            **{key: value for key, value in figures.items() if value is not None},
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        self.stats = AnswerStats(None, None, None)

    def __iter__(self) -> Iterator[str]:
        """Pieces of the answer alone. Raises: as ``pieces``."""
        return (piece.text for piece in self.pieces() if not piece.is_thought)

    def pieces(self) -> Generator[Piece, None, None]:
        """As they arrive; closing it makes the engine stop. Raises: EngineError where the engine is gone or
        refuses, or ends in the middle of the answer."""
        arrivals_s: list[float] = []
        tokens: int | None = None
        rate: float | None = None
        reason: str | None = None
        for chunk in self._chunks():
            tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
            rate = (chunk.get("timings") or {}).get("predicted_per_second", rate)
            for choice in chunk.get("choices", []):
                reason = choice.get("finish_reason") or reason
                delta = choice.get("delta", {})
                if delta.get("content") or delta.get("reasoning_content"):
                    arrivals_s.append(time.monotonic())
                if delta.get("reasoning_content"):
                    yield Piece(delta["reasoning_content"], is_thought=True)
                if delta.get("content"):
                    yield Piece(delta["content"])
        if rate is None and tokens and len(arrivals_s) > 1 and arrivals_s[-1] > arrivals_s[0]:
            rate = (tokens - 1) / (arrivals_s[-1] - arrivals_s[0])
        self.stats = AnswerStats(tokens, rate, reason)

    def _chunks(self) -> Iterator[dict[str, Any]]:
        """The events of the stream. Source: server-sent events, ``data: {...}``, ended by ``[DONE]``."""
        connection = HTTPConnection(
            self._url.hostname or "127.0.0.1", self._url.port, timeout=SILENCE_TIMEOUT_S
        )
        try:
            body = json.dumps(self._body).encode()
            connection.request("POST", self._url.path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status >= 400:
                raise _refused(response.read())
            for line in response:  # which ends quietly where the connection breaks
                event = line.removeprefix(b"data:").strip()
                if event == b"[DONE]":
                    return
                if not line.startswith(b"data:"):
                    continue
                chunk: dict[str, Any] = json.loads(event)
                if "error" in chunk:  # after the response has started
                    raise _refused(event)
                yield chunk
        except (OSError, HTTPException, ValueError) as error:
            raise self._broken(str(error) or type(error).__name__) from error
        else:
            raise self._broken("the answer has no end")
        finally:
            connection.close()

    def _broken(self, why: str) -> EngineError:
        return EngineError(
            f"the connection to the engine at {self._url.netloc} broke: {why}",
            hint="see node-ctl ps and node-ctl logs",
            cause="gone",
        )


def _refused(body: bytes) -> EngineError:
    """The engine's own message. Source: OpenAI's error object, ``{"error": {"message": ...}}``."""
    text = body.decode("utf-8", "replace").strip()
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = text[:500]
    return EngineError(f"the engine refused: {message}", hint="see node-ctl logs", cause="refused")
