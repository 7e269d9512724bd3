"""One launch as it lives in this daemon: what is wanted, what runs, what it last said."""

import asyncio
from dataclasses import dataclass, field, replace

from daemon.events.progress_log import ProgressLog
from daemon.state.records import LaunchDetails, LaunchRecord, LaunchRequest, now
from domain.errors import NodeError
from domain.launch import LaunchRow, LaunchState, Step
from domain.plan import Plan
from domain.redact import without_secrets
from launchers.process.engine import EngineProcess
from launchers.readiness import Ready


@dataclass(slots=True, eq=False)
class Launch:
    """Owned by the event loop. ``task`` keeps the engine alive; without one nobody wants it to run.

    ``failures`` counts attempts since the last time it served for long; ``kept`` is true once the
    launch is desired: it is then started again whatever happens. ``forgotten``: its end leaves no row.
    ``gpus`` are the ids of the GPUs as ``plan`` counts them, () for an engine that was taken over.
    """

    request: LaunchRequest
    state: LaunchState = LaunchState.QUEUED
    since: str = field(default_factory=now)
    track: ProgressLog = field(default_factory=ProgressLog)
    plan: Plan | None = None
    gpus: tuple[str, ...] = ()
    fingerprint: str | None = None
    process: EngineProcess | None = None
    port: int | None = None
    run_id: int | None = None
    ready: Ready | None = None
    reused: tuple[str, ...] = ()
    restarts: int = 0
    failures: int = 0
    last_error: str | None = None
    kept: bool = False
    task: asyncio.Task[None] | None = None
    ending: asyncio.Task[LaunchRow] | None = None
    forgotten: bool = False
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    retry_now: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, told: LaunchRecord) -> "Launch":
        """As the last daemon left it."""
        return cls(
            request=told.request,
            state=told.state,
            since=told.since,
            plan=told.plan,
            fingerprint=told.fingerprint,
            ready=told.ready,
            reused=told.reused,
            restarts=told.restarts,
            last_error=told.last_error,
            kept=told.desired,
        )

    @property
    def name(self) -> str:
        return self.request.name

    def become(self, state: LaunchState) -> None:
        if state is not self.state:
            self.state, self.since = state, now()

    def say(self, step: Step, message: str, *, error: NodeError | None = None) -> None:
        self.track.say(step, message, error=error)

    def remembered(self) -> LaunchRecord:
        return LaunchRecord(
            request=self.request,
            desired=self.kept,
            state=self.state,
            since=self.since,
            plan=self.plan,
            fingerprint=self.fingerprint,
            ready=self.ready,
            reused=self.reused,
            restarts=self.restarts,
            last_error=self.last_error,
        )

    def row(self) -> LaunchRow:
        plan, serves = self.plan, self.process is not None
        return LaunchRow(
            name=self.name,
            model=without_secrets(self.request.model),
            engine=plan.engine if plan else self.request.wish.engine,
            state=self.state,
            pid=self.process.pid if self.process else None,
            endpoint=f"http://127.0.0.1:{self.port}" if serves else None,
            quant=plan.weights.quant if plan else None,
            context_tokens=plan.context_tokens if plan else None,
            memory=plan.memory if plan else (),
            decode_tokens_per_s=self.ready.decode_tokens_per_s if self.ready else None,
            restarts=self.restarts,
            since=self.since,
            last_error=self.last_error,
        )

    def details(self) -> LaunchDetails:
        return LaunchDetails(self.row(), _shown(self.plan), self.ready, self.reused)


def _shown(plan: Plan | None) -> Plan | None:
    """As others may see it: an address that it was asked for by may hold a password."""
    if plan is None:
        return None
    weights = replace(plan.weights, repo=without_secrets(plan.weights.repo))
    return replace(plan, model=without_secrets(plan.model), weights=weights)
