"""Where the gateway listens, and who may ask it: what the daemon knows of it while it runs."""

import asyncio
import secrets
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from config.listen import Address
from daemon.events.broadcast import Broadcast
from daemon.state.records import KeyRecord
from domain.request_rate import Allowance


@dataclass(slots=True)
class GatewayState:
    """``bound`` is where the gateway listens now; ``problem`` why it does not, although it should."""

    bound: Address | None = None
    problem: str | None = None
    changed: Broadcast = field(default_factory=Broadcast)

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
