"""A proof under way, as the supervisor of its launch sees it."""

import asyncio
from dataclasses import dataclass, field

from domain.launches.proof import DepthFigures


@dataclass(slots=True, eq=False)
class ProofRun:
    """``trying_tokens``: the depth of the piece that the engine reads now, ``None`` between two pieces.
    ``failure``: why an engine that still runs has failed. ``over`` is set by the supervisor once the engine
    has ended, for whatever reason; ``outcome`` then says what follows of a failure."""

    figures: list[DepthFigures] = field(default_factory=list)
    trying_tokens: int | None = None
    failure: str | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: str | None = None
