"""A model that is, was or should be served. The shape of one row of ``node-ctl ps --json``."""

from dataclasses import dataclass
from enum import StrEnum

from domain.launches.plan import DeviceMemory
from domain.launches.serving import Policy, TenantPolicy


class LaunchState(StrEnum):
    QUEUED = "queued"
    DOWNLOADING = "downloading"
    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LaunchRow:
    """``since`` is the ISO 8601 time of the last change of ``state``; ``decode_tokens_per_s`` the
    measured rate of the readiness check, ``None`` before it. ``waiting`` says for what it waits before it
    is started. ``endpoint`` is the engine's own, or the gateway's where the engine answers nobody else;
    ``gateway`` is the address that answers for all of them, ``None`` where it is off. Of its context,
    ``context_tokens`` are planned, ``loaded_context_tokens`` what its engine says that it loaded,
    ``proven_context_tokens`` the depth that node-ctl prove filled; ``guaranteed_context_tokens`` is what each
    of several sequences is sure of, where they share a cache.
    ``reduced`` says what it gave up since memory ran out. ``policy``, ``idle_s``, ``priority``, ``pinned``
    and ``tenants`` are those of ``domain.launches.serving``; ``starts_on_request``: it is stopped until a
    request comes."""

    name: str
    model: str
    engine: str | None
    state: LaunchState
    pid: int | None = None
    endpoint: str | None = None
    quant: str | None = None
    context_tokens: int | None = None
    memory: tuple[DeviceMemory, ...] = ()
    decode_tokens_per_s: float | None = None
    restarts: int = 0
    since: str | None = None
    last_error: str | None = None
    waiting: str | None = None
    gateway: str | None = None
    loaded_context_tokens: int | None = None
    proven_context_tokens: int | None = None
    guaranteed_context_tokens: int | None = None
    reduced: str | None = None
    policy: Policy = Policy.ALWAYS
    idle_s: float | None = None
    tenants: TenantPolicy = TenantPolicy.WAIT
    priority: int = 0
    pinned: bool = False
    starts_on_request: bool = False


@dataclass(frozen=True, slots=True)
class KeptConversations:
    """Of one launch: how many are in the memory of its engine, and how many on disk. ``saves`` is false where
    none are saved: its engine can't, or makes nothing of them."""

    in_memory: int = 0
    on_disk: int = 0
    disk_bytes: int = 0
    saves: bool = True


class Step(StrEnum):
    """The steps of one launch, in order, as its progress names them; a pull or a proof ends with DONE."""

    RESOLVE = "resolve"
    PROBE = "probe"
    PLAN = "plan"
    DOWNLOAD = "download"
    TUNE = "tune"
    START = "start"
    CHECK = "check"
    READY = "ready"
    PROVE = "prove"
    FAILED = "failed"
    STOPPED = "stopped"
    DONE = "done"


LAST_STEPS = frozenset({Step.READY, Step.FAILED, Step.STOPPED, Step.DONE})


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of a launch's or a pull's progress. Rates and totals only while bytes move; ``eta_s`` is an
    estimate; ``waiting`` says for what a download waits. ``code``, ``hint`` and ``line`` (the engine's own)
    are set on FAILED: the error's."""

    step: Step
    message: str
    at: float
    bytes_done: int | None = None
    bytes_total: int | None = None
    rate_bytes_per_s: float | None = None
    eta_s: float | None = None
    code: str | None = None
    hint: str | None = None
    line: str | None = None
    waiting: str | None = None
