"""Fills the context of an engine that serves, a piece of text at a time, and measures its speed on the way.

Each piece is a request of its own, which repeats the text before it: that is in the engine's cache. A request
of a client waits for one piece at most.
"""

import random
import time
from dataclasses import dataclass
from functools import partial

import httpx

from domain.errors import EngineError
from launchers.answer_stream import Reply, stream
from launchers.command import Command
from launchers.liveness import OPEN_REQUESTS
from launchers.readiness import ANSWER_S, NO_ANSWER

TEXT = (
    "river mill lantern door stone bridge evening road water garden letter window harvest winter copper"
    " market engine tower shadow paper bends waits holds carries opens under toward behind old small quiet"
)
WORDS = TEXT.split()
TOKENS_A_WORD = 1.0  # at least, of the common words above
TEXT_WORDS = 4096  # that are split into tokens at a time: a request of some 30 KB
FIRST_PIECE_TOKENS = 256
LEAST_PIECE_TOKENS, MOST_PIECE_TOKENS = 64, 4096
PIECE_S = 5.0  # target duration of a piece, from the speed of the one before
DECODED_TOKENS = 16
REPEATS = 2  # of decoding: a client's request at the same time slows one


@dataclass(frozen=True, slots=True)
class Piece:
    """``prefill_s`` are the seconds in which its ``tokens`` were read."""

    tokens: int
    prefill_s: float

    @property
    def next_tokens(self) -> int:
        """Of a piece that takes PIECE_S at this speed."""
        rate = self.tokens / self.prefill_s if self.prefill_s > 0 else MOST_PIECE_TOKENS
        return max(LEAST_PIECE_TOKENS, min(MOST_PIECE_TOKENS, int(rate * PIECE_S)))


async def count_requests(http: httpx.AsyncClient) -> int | None:
    """Requests that the engine answers or holds back now; ``None`` where it does not say."""
    try:
        answer = await http.get("/metrics", timeout=ANSWER_S)
        counts = [float(count) for count in OPEN_REQUESTS.findall(answer.text)]
    except (httpx.HTTPError, ValueError):
        return None
    return int(sum(counts)) if counts else None


async def generate_text(http: httpx.AsyncClient, command: Command, tokens: int) -> list[int]:
    """A text of at least ``tokens`` tokens, by the engine's own vocabulary. Raises: EngineError."""
    words = random.Random(time.time_ns())  # noqa: S311 - a text that is in no prompt cache, no secret
    text: list[int] = []
    while len(text) < tokens:
        count = min(TEXT_WORDS, int((tokens - len(text)) / TOKENS_A_WORD) + 16)
        piece = await _split(http, command, " ".join(words.choices(WORDS, k=count)))
        if not piece:
            raise EngineError("the engine splits a text into no tokens", cause="no_answer")
        text += piece
    return text


async def _split(http: httpx.AsyncClient, command: Command, text: str) -> list[int]:
    """llama-server reads ``content``, vLLM ``model`` and ``prompt``; each ignores what it does not know."""
    body = {
        "model": command.served_name,
        "content": text,
        "prompt": text,
        "add_special": False,
        "add_special_tokens": False,
    }
    try:
        answer = await http.post("/tokenize", json=body, timeout=ANSWER_S)
        answer.raise_for_status()
        return [int(token) for token in answer.json()["tokens"]]
    except (*NO_ANSWER, KeyError) as error:
        raise _no_answer(error) from error


async def fill(http: httpx.AsyncClient, command: Command, text: list[int], piece_tokens: int) -> Piece:
    """Reads ``text``, whose last ``piece_tokens`` are new to the engine. Raises: EngineError."""
    begun = time.monotonic()
    reply = await _complete(http, command, text, tokens=1, fresh_tokens=piece_tokens)
    rate = reply.prefill_tokens_per_s
    return Piece(piece_tokens, piece_tokens / rate if rate else time.monotonic() - begun)


async def measure_decode(http: httpx.AsyncClient, command: Command, text: list[int]) -> float | None:
    """Tokens/s behind ``text``, which the engine has read before. Raises: EngineError."""
    replies = [await _complete(http, command, text, tokens=DECODED_TOKENS) for _ in range(REPEATS)]
    return max((reply.decode_tokens_per_s for reply in replies if reply.decode_tokens_per_s), default=None)


async def _complete(
    http: httpx.AsyncClient,
    command: Command,
    text: list[int],
    *,
    tokens: int,
    fresh_tokens: int | None = None,
) -> Reply:
    body = {
        "model": command.served_name,
        "prompt": text,
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": True,
        "ignore_eos": True,
    }
    ask = partial(stream, http, "/v1/completions", body, fresh_tokens=fresh_tokens)
    try:
        try:
            return await ask()
        except httpx.TransportError:  # engines close idle connections, and a request may meet that
            return await ask()
    except NO_ANSWER as error:
        raise _no_answer(error) from error


def _no_answer(error: Exception) -> EngineError:
    return EngineError(
        f"the engine did not answer: {error or type(error).__name__}",
        hint="node-ctl logs shows its output",
        cause="no_answer",
    )
