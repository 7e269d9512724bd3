"""The gateway of one daemon: what its dialects need to answer a request."""

import asyncio
from dataclasses import dataclass, field

from daemon.app import App
from daemon.gateway.engines import Engines
from daemon.gateway.facts import EngineFacts
from daemon.gateway.headers import Headers
from daemon.gateway.holding import HOLD_S, Hold
from daemon.gateway.metrics import Metrics

# Proxies and clients end a stream that is silent for 30 s or more.
KEEP_ALIVE_S = 15.0


@dataclass(slots=True)
class Bodies:
    """The bytes of all requests that are held at this time."""

    held_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Gateway:
    """``keep_alive_s``: a stream that is silent for so long sends a sign of life. ``stopping``: answers that
    have not ended by now are cut off, in their own protocol."""

    app: App
    engines: Engines
    facts: EngineFacts
    headers: Headers
    keep_alive_s: float = KEEP_ALIVE_S
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    bodies: Bodies = field(default_factory=Bodies)
    metrics: Metrics = field(default_factory=Metrics)


def build_gateway(app: App, *, keep_alive_s: float = KEEP_ALIVE_S, hold_s: float = HOLD_S) -> Gateway:
    engines = Engines(Hold(app, hold_s=hold_s), normalises=app.settings.normalise_prompts)
    return Gateway(app, engines, EngineFacts(engines), Headers(app), keep_alive_s)
