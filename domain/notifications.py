"""Where notifications go, and of which events: a target each."""

from dataclasses import dataclass, field

from domain.events import Level
from domain.launches.schedule import When


@dataclass(frozen=True, slots=True)
class Target:
    """``url`` is apprise's and a secret. Events from ``level`` on are sent, ``None`` for none by their level,
    and those of ``kinds``. In ``quiet`` hours nothing is sent; with ``digest`` one message a day at that
    time."""

    name: str
    url: str = field(repr=False)
    level: Level | None = Level.WARNING
    kinds: frozenset[str] = frozenset()
    quiet: When | None = None
    quiet_words: str | None = None
    digest: When | None = None
    digest_words: str | None = None


@dataclass(frozen=True, slots=True)
class TargetRow:
    """One of ``node-ctl notify list --json``. ``url`` is redacted. ``waiting`` events are not sent yet;
    ``problem`` is why the last message could not be sent, ``None`` where it was."""

    name: str
    url: str
    level: Level | None
    kinds: tuple[str, ...]
    quiet: str | None
    digest: str | None
    waiting: int
    last_sent: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of a message to one target. ``reason`` says why it was not ``sent``."""

    name: str
    url: str
    sent: bool
    seconds: float
    reason: str | None = None
