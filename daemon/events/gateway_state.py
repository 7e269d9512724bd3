"""Where the gateway listens, and who may ask it: what the daemon knows of it while it runs."""

import asyncio
import secrets
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

from config.listen import Address
from daemon.events.broadcast import Broadcast
from daemon.state.records import KeyRecord
from domain.request_rate import Allowance


@dataclass(slots=True)
class TokenCount:
    """Of the answers of a launch. ``unknown_answers`` told none of their tokens."""

    prompt: int = 0
    generated: int = 0
    unknown_answers: int = 0

    def add(self, prompt: int | None, generated: int | None) -> None:
        self.prompt += prompt or 0
        self.generated += generated or 0
        self.unknown_answers += prompt is None and generated is None

    def since(self, before: Self) -> "TokenCount":
        return TokenCount(
            self.prompt - before.prompt,
            self.generated - before.generated,
            self.unknown_answers - before.unknown_answers,
        )

    def copy(self) -> "TokenCount":
        return replace(self)


@dataclass(slots=True)
class GatewayState:
    """``bound`` is where the gateway listens now; ``problem`` why it does not, although it should.
    ``token_counts``: what was answered since the start of the daemon, by the name of a launch."""

    bound: Address | None = None
    problem: str | None = None
    changed: Broadcast = field(default_factory=Broadcast)
    token_counts: dict[str, TokenCount] = field(default_factory=dict)

    @property
    def url(self) -> str | None:
        """For clients on this machine."""
        if self.bound is None:
            return None
        return f"http://{Address('127.0.0.1', self.bound.port) if self.bound.is_everywhere else self.bound}"


@dataclass(slots=True)
class Access:
    """Keys of the gateway by their ids. ``proved``: the digests, under ``salt``, of those that were compared
    with their hash since the start; ``hashing``: one thread, since each keeps the memory that it took.
    ``allowances``: what is left of their rates, by name. ``lan``: the gateway is to be open to the network.
    ``changed`` wakes who waits for another of these."""

    keys: dict[str, KeyRecord] = field(default_factory=dict)
    proved: dict[str, bytes] = field(default_factory=dict)
    proving: asyncio.Lock = field(default_factory=asyncio.Lock)
    hashing: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "keys"))
    allowances: dict[str, Allowance] = field(default_factory=dict)
    salt: bytes = field(default_factory=partial(secrets.token_bytes, 32))
    lan: bool = False
    changed: Broadcast = field(default_factory=Broadcast)
