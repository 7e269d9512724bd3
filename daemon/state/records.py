"""The values that the store holds: launches, pulls, runs, work in flight, events."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from domain.download import DownloadPolicy
from domain.events import Level
from domain.launches.launch import KeptConversations, LaunchRow, LaunchState
from domain.launches.plan import LaunchOptions, Plan
from domain.launches.proof import ContextProof
from domain.launches.schedule import ScheduleRequest, ScheduleRun
from domain.launches.serving import ALWAYS, Serving
from domain.models.model import Weights
from domain.priority import Priority
from domain.request_rate import RequestRate
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
    """Weights that an owner asked for. ``policy`` is ``None`` for that of the settings."""

    model: str
    options: LaunchOptions
    policy: DownloadPolicy | None = None


@dataclass(frozen=True, slots=True)
class PullRecord:
    """A pull as the store holds it. ``weights`` are the files that its request was resolved to, ``None``
    before that: a restart continues with them, even if the request would resolve to others by then."""

    id: int
    request: PullRequest
    weights: Weights | None = None


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """A launch as the store holds it. ``ready`` is the last answer, ``None`` if it never answered;
    ``fingerprint`` says for which machine and engine ``plan`` was made. ``replaced`` is the launch at rest
    that had the name before: it gets the name back where this one fails before it ever served.
    ``parked``: it is not desired, and a request starts it."""

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
    replaced: "LaunchRecord | None" = None
    serving: Serving = ALWAYS
    parked: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One engine process that was started. ``identity`` is ``None`` if the daemon died before it was
    stored."""

    id: int
    launch: str
    command: Command
    port: int
    identity: Identity | None
    engine_version: str | None
    started_at: str


class WorkKind(StrEnum):
    LAUNCH = "launch"
    PULL = "pull"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class WorkKey:
    kind: WorkKind
    name: str


@dataclass(frozen=True, slots=True)
class Work:
    """What the daemon does of a launch, a pull or a job. ``doing`` says so in words; ``boot_id`` is the boot
    in which it began. ``deaths`` are those of daemons, ``reboots`` of machines, while it was ``running``.
    What is ``poison`` is not begun again."""

    key: WorkKey
    doing: str
    boot_id: str | None = None
    running: bool = True
    deaths: int = 0
    reboots: int = 0
    poison: bool = False

    @property
    def is_suspect(self) -> bool:
        return bool(self.deaths or self.reboots)


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``id`` increases with each. ``kind`` may be one that another version wrote."""

    id: int
    at: str
    kind: str
    launch: str | None
    message: str
    level: Level = Level.INFO


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state: ``event`` led to ``state``."""

    at: str
    event: str
    state: LaunchState


@dataclass(frozen=True, slots=True)
class LaunchDetails:
    """One launch in full, as the API shows it. ``history`` ends with its current state; ``options`` are those
    of the request, ``proof`` is what node-ctl prove found for its model and engine here. ``conversations`` is
    ``None`` before its engine has served."""

    launch: LaunchRow
    plan: Plan | None
    measured: Ready | None
    reused: tuple[str, ...]
    history: tuple[Transition, ...] = ()
    options: LaunchOptions = field(default_factory=LaunchOptions)
    proof: ContextProof | None = None
    conversations: KeptConversations | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key of the gateway. ``id`` is the part of it that is no secret; times are ISO 8601. Without
    ``models`` all are allowed; ``priority`` is the highest class that its requests have, ``rate`` how many
    requests or tokens it may have in a time."""

    name: str
    id: str
    hash: str
    created: str
    last_used: str | None = None
    models: tuple[str, ...] = ()
    priority: Priority = Priority.INTERACTIVE
    rate: RequestRate | None = None


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule as the store holds it. What was due up to ``handled`` is done, or was skipped."""

    id: int
    request: ScheduleRequest
    handled: datetime
    last: ScheduleRun | None = None


@dataclass(frozen=True, slots=True)
class NotificationRecord:
    """A target of notifications as the store holds it: by its name, never with its URL. Events up to
    ``cursor`` are done with, by their ids. ``digested`` is when the last digest was due; ``told`` are kind,
    launch and count of what it was told went wrong, and not yet of its end."""

    target: str
    cursor: int
    digested: datetime
    told: tuple[tuple[str, str | None, int], ...] = ()
    last_sent: str | None = None


def now() -> str:
    """UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


DIGEST_BYTES = 8  # of each message in a stored chain


@dataclass(frozen=True, slots=True)
class ConversationCopy:
    """A conversation of a launch that a file holds as its engine had it. ``identity`` is what an engine must
    have in common with that one to take it back. ``chain`` are digests of its messages, () where the file is
    only to be written over; ``prompt_tokens`` are those of its last request, without the answer. ``used_at``
    is in seconds since 1970."""

    launch: str
    file: str
    identity: str
    chain: tuple[bytes, ...]
    text_bytes: int
    tokens: int
    prompt_tokens: int | None
    size_bytes: int
    used_at: float
