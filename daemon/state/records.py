"""What the daemon remembers: requests, runs, facts, events. Values only; ``store`` keeps them."""

from dataclasses import dataclass
from datetime import UTC, datetime

from domain.download import DownloadPolicy
from domain.launch import LaunchRow, LaunchState
from domain.model import Weights
from domain.plan import LaunchOptions, Plan
from launchers.command import Command
from launchers.process.procfs import Identity
from launchers.readiness import Ready


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What an owner asked to have served. Equal requests are one launch."""

    name: str
    model: str
    options: LaunchOptions


@dataclass(frozen=True, slots=True)
class PullRequest:
    """Weights that an owner asked for. ``policy`` is his own, ``None`` for that of the settings."""

    model: str
    options: LaunchOptions
    policy: DownloadPolicy | None = None


@dataclass(frozen=True, slots=True)
class PullRecord:
    """A pull as the store holds it. ``weights`` are the files that its request came to: a restart goes on
    with them, whatever the hub or the machine would say now. ``None`` until they are known."""

    id: int
    request: PullRequest
    weights: Weights | None = None


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """A launch as the store holds it. ``ready`` is the last answer, ``None`` if it never answered;
    ``fingerprint`` says for which machine and engine ``plan`` was made."""

    request: LaunchRequest
    desired: bool
    state: LaunchState
    since: str
    plan: Plan | None = None
    fingerprint: str | None = None
    ready: Ready | None = None
    reused: tuple[str, ...] = ()
    restarts: int = 0
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One engine process that was started. ``identity`` is ``None`` if we died before we knew it."""

    id: int
    launch: str
    command: Command
    port: int
    identity: Identity | None
    engine_version: str | None
    started_at: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the events. ``id`` only grows."""

    id: int
    at: str
    kind: str
    launch: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Transition:
    """``event`` made a launch ``state``."""

    at: str
    event: str
    state: LaunchState


@dataclass(frozen=True, slots=True)
class LaunchDetails:
    """One launch in full, as the API shows it. ``history`` ends with its present state."""

    launch: LaunchRow
    plan: Plan | None
    measured: Ready | None
    reused: tuple[str, ...]
    history: tuple[Transition, ...] = ()


def now() -> str:
    """UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
