"""What is counted of requests, for ``/metrics``: plain numbers, cheap to add to and kept in memory. Pure."""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field

# A first byte comes after a prompt was read: from milliseconds of a cached one to minutes on a small CPU.
FIRST_BYTE_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
TOKEN_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
DURATION_BUCKETS_S = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
HEAD_BYTES, TAIL_BYTES = 4096, 16_384
# OpenAI's, Anthropic's and Ollama's names. In a text that a model wrote, the quotes have a backslash before.
_PROMPT = re.compile(rb'"(?:prompt_tokens|input_tokens|prompt_eval_count)"\s*:\s*(\d{1,12})')
_ANSWER = re.compile(rb'"(?:completion_tokens|output_tokens|eval_count)"\s*:\s*(\d{1,12})')
# llama-server's timings, which a stream has even if its client did not ask for the usage
_READ = re.compile(rb'"prompt_n"\s*:\s*(\d{1,12})')
_CACHED = re.compile(rb'"(?:cache_n|cached_tokens|cache_read_input_tokens)"\s*:\s*(\d{1,12})')
# Anthropic's input tokens are without those
_APART = re.compile(rb'"cache_read_input_tokens"\s*:\s*(\d{1,12})')
_WRITTEN = re.compile(rb'"predicted_n"\s*:\s*(\d{1,12})')


@dataclass(frozen=True, slots=True)
class Tokens:
    """``None`` where an answer does not say."""

    prompt: int | None = None
    cached: int | None = None
    answer: int | None = None

    @property
    def known(self) -> int:
        return (self.prompt or 0) + (self.answer or 0)


@dataclass(slots=True)
class Histogram:
    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def add(self, value: float) -> None:
        if not self.counts:
            self.counts = [0] * (len(self.bounds) + 1)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Watched:
    """One request while it is answered: when its first byte went out, and the bytes that tell its tokens."""

    began_s: float
    status: int | None = None
    first_byte_s: float | None = None
    head: bytes = b""
    tail: tuple[bytes, bytes] = (b"", b"")

    def sent(self, part: bytes, now_s: float) -> None:
        if self.first_byte_s is None:
            self.first_byte_s = now_s - self.began_s
            self.head = part[:HEAD_BYTES]
        self.tail = (self.tail[1], part)


@dataclass(slots=True)
class Metrics:
    """By the name of a launch: what clients send as a name is not one that is counted by."""

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    in_flight: Counter[str] = field(default_factory=Counter)
    prompt_tokens: Counter[str] = field(default_factory=Counter)
    cached_tokens: Counter[str] = field(default_factory=Counter)
    answer_tokens: Counter[str] = field(default_factory=Counter)
    first_byte: dict[str, Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(FIRST_BYTE_BUCKETS_S))
    )
    token_interval: dict[str, Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(TOKEN_BUCKETS_S))
    )
    duration: dict[str, Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(DURATION_BUCKETS_S))
    )

    def record(self, model: str, protocol: str, watched: Watched, now_s: float) -> Tokens | None:
        """A request that has ended, and its tokens, ``None`` if it was refused or failed; status 499 is that
        of a client that left before there was an answer."""
        status = watched.status or 499
        self.requests[model, protocol, status] += 1
        if status >= 400:
            return None
        self.duration[model].add(now_s - watched.began_s)
        if watched.first_byte_s is not None:
            self.first_byte[model].add(watched.first_byte_s)
        tail = b"".join(part[-TAIL_BYTES:] for part in watched.tail)
        tokens = tokens_of(watched.head + tail[-TAIL_BYTES:])
        self.prompt_tokens[model] += tokens.prompt or 0
        self.cached_tokens[model] += tokens.cached or 0
        self.answer_tokens[model] += tokens.answer or 0
        is_stream = watched.first_byte_s is not None and bool(watched.tail[0])
        if is_stream and watched.first_byte_s is not None and (tokens.answer or 0) > 1:
            writing_s = now_s - watched.began_s - watched.first_byte_s
            self.token_interval[model].add(writing_s / ((tokens.answer or 0) - 1))
        return tokens


def tokens_of(content: bytes) -> Tokens:
    """Of the beginning and the end of an answer: the last figures count."""
    cached, read = _last(_CACHED, content), _last(_READ, content)
    prompt = _last(_PROMPT, content)
    if prompt is None and read is not None:
        prompt = read + (cached or 0)
    elif prompt is not None:
        prompt += _last(_APART, content) or 0
    answer = _last(_ANSWER, content)
    return Tokens(prompt, cached, _last(_WRITTEN, content) if answer is None else answer)


def _last(pattern: re.Pattern[bytes], content: bytes) -> int | None:
    found = pattern.findall(content)
    return int(found[-1]) if found else None
