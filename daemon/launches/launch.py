"""One launch in this daemon: its request, its state, its plan, its engine."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from daemon.events.progress_log import ProgressLog
from daemon.launches.demand.use import Use
from daemon.launches.ladder.policy import Ladder
from daemon.launches.lifecycle import Lifecycle
from daemon.launches.orders import Orders
from daemon.launches.proof.run import ProofRun
from daemon.launches.state_machine import Event
from daemon.resources.throttle import Throttle
from daemon.state.records import LaunchDetails, LaunchRecord, LaunchRequest, WorkKey, WorkKind
from domain.anonymize import without_secrets
from domain.errors import NodeError
from domain.launches.launch import LaunchRow, LaunchState, Step
from domain.launches.plan import Plan
from domain.launches.proof import ContextProof
from domain.launches.serving import ALWAYS, Policy, Serving
from launchers.process.engine import EngineProcess
from launchers.readiness import Ready

if TYPE_CHECKING:
    from daemon.launches.conversations.keeping import Conversations


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that runs, or is about to. ``run_id`` is ``None`` where the state could not be written;
    a ``trial`` measures and never serves."""

    process: EngineProcess
    port: int
    run_id: int | None
    trial: bool = False


@dataclass(slots=True)
class Attempts:
    """``failures`` counts those in a row since it last served for long; ``attended``: see retry.next_try.
    ``for_request``: a request began it, and it has not served since."""

    restarts: int = 0
    failures: int = 0
    last_error: str | None = None
    attended: bool = True
    for_request: bool = False


@dataclass(slots=True, eq=False)
class Launch:
    """Only its supervisor (``task``) changes it; others read it, and give ``orders``. Without a task it is at
    rest: stopped, or given up.

    ``gpu_ids`` are the ids of the GPUs that ``plan`` numbers, () for an engine that was adopted. ``replaced``
    is the launch at rest that had the name before, until this one serves or is stopped; one that fails before
    that is ``withdrawn``, and ``replaced`` gets its name back. ``accepted`` is done once it is stored as
    desired. ``stored``: the store has its row; ``unsaved``: that row, or its absence, is out of date.
    ``retune``: the next start measures the thread count again, whatever is stored. ``waiting`` says for what
    a restored launch waits, until it has its turn; ``poison`` why it has none: the daemon died of it.
    ``ladder`` is what it gave up since memory ran out, ``throttle`` what clients may use of its engine now.
    ``serving``: when it is served. ``parked``: it is stopped until a request starts it. ``use``: when clients
    used it.
    ``looked_s`` is when its health was last looked at, by the monotonic clock, ``None`` while nobody looks;
    ``check_now`` has it looked at, and asked, at once.
    ``proof``: what is known of its context's depth with this engine; ``proof_run`` is one under way.
    ``conversations`` are those in the slots of its last engine that served.
    """

    request: LaunchRequest
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    orders: Orders = field(default_factory=Orders)
    progress: ProgressLog = field(default_factory=ProgressLog)
    attempts: Attempts = field(default_factory=Attempts)
    plan: Plan | None = None
    fingerprint: str | None = None
    gpu_ids: tuple[str, ...] = ()
    port: int | None = None
    engine: Engine | None = None
    ready: Ready | None = None
    reused: tuple[str, ...] = ()
    replaced: "Launch | None" = None
    withdrawn: bool = False
    stored: bool = False
    unsaved: bool = False
    retune: bool = False
    waiting: str | None = None
    poison: NodeError | None = None
    proof: ContextProof | None = None
    proof_run: ProofRun | None = None
    ladder: Ladder = field(default_factory=Ladder)
    looked_s: float | None = None
    check_now: asyncio.Event = field(default_factory=asyncio.Event)
    throttle: Throttle = field(default_factory=Throttle)
    serving: Serving = ALWAYS
    parked: bool = False
    use: Use = field(default_factory=Use)
    conversations: "Conversations | None" = None
    accepted: "asyncio.Future[None] | None" = None
    task: "asyncio.Task[None] | None" = None

    @classmethod
    def from_record(cls, record: LaunchRecord) -> "Launch":
        """As the previous daemon left it: queued if desired, else at rest."""
        return cls(
            request=record.request,
            lifecycle=_lifecycle(record),
            attempts=Attempts(record.restarts, last_error=record.last_error, attended=False),
            plan=record.plan,
            fingerprint=record.fingerprint,
            ready=record.ready,
            reused=record.reused,
            replaced=None if record.replaced is None else cls.from_record(record.replaced),
            stored=True,
            serving=record.serving,
            parked=record.parked,
        )

    @property
    def name(self) -> str:
        return self.request.name

    @property
    def key(self) -> WorkKey:
        return WorkKey(WorkKind.LAUNCH, self.name)

    @property
    def state(self) -> LaunchState:
        return self.lifecycle.state

    @property
    def process(self) -> EngineProcess | None:
        return None if self.engine is None else self.engine.process

    @property
    def pid(self) -> int | None:
        return None if self.engine is None else self.engine.process.pid

    @property
    def waits_for(self) -> str | None:
        return "; ".join(self.orders.holds.values()) if self.orders.holds else self.waiting

    @property
    def is_at_rest(self) -> bool:
        return self.task is None

    @property
    def is_offered(self) -> bool:
        """Whether clients may ask for it."""
        return (self.lifecycle.desired or self.parked) and not self.withdrawn

    @property
    def was_served(self) -> bool:
        """It has served, or its owner stopped it: a failed try under its name must not replace it."""
        return self.ready is not None or self.state is LaunchState.STOPPED

    def apply(self, event: Event) -> None:
        """Raises: IllegalTransitionError."""
        self.lifecycle.apply(event)

    def answer(self, error: NodeError) -> None:
        """Answers everyone who waits for it to be accepted or stopped."""
        self.orders.answer_stop(error)
        self.orders.answer_restart(error)
        if self.accepted is not None and not self.accepted.done():
            self.accepted.set_exception(error)
            self.accepted.exception()  # marks it as retrieved: the caller may be gone

    def say(self, step: Step, message: str, *, error: NodeError | None = None) -> None:
        self.progress.say(step, message, error=error)

    def reuse(self, what: str) -> None:
        self.reused = (*self.reused, what)

    def record(self, state: LaunchState | None = None) -> LaunchRecord:
        """Its current values, with ``state`` in place of its own if given."""
        return LaunchRecord(
            request=self.request,
            desired=self.lifecycle.desired,
            state=state or self.state,
            since=self.lifecycle.since,
            plan=self.plan,
            fingerprint=self.fingerprint,
            ready=self.ready,
            reused=self.reused,
            restarts=self.attempts.restarts,
            last_error=self.attempts.last_error,
            replaced=self.replaced.record() if self.replaced is not None and self.replaced.stored else None,
            serving=self.serving,
            parked=self.parked,
        )

    @property
    def loaded_context_tokens(self) -> int | None:
        """As its engine says. llama-server names the whole pool where sequences share one, of which the plan
        gives each its window."""
        loaded, plan = self.ready.context_tokens if self.ready else None, self.plan
        return min(loaded, plan.context_tokens) if loaded and plan and plan.pool_tokens else loaded

    def row(self) -> LaunchRow:
        plan = self.plan
        return LaunchRow(
            name=self.name,
            model=without_secrets(self.request.model),
            engine=plan.engine if plan else self.request.options.engine,
            state=self.state,
            pid=self.pid,
            endpoint=None if self.engine is None else f"http://127.0.0.1:{self.engine.port}",
            quant=plan.weights.quant if plan else None,
            context_tokens=plan.context_tokens if plan else None,
            loaded_context_tokens=self.loaded_context_tokens,
            guaranteed_context_tokens=plan.guaranteed_tokens if plan else None,
            proven_context_tokens=self.proof.proven_tokens if self.proof else None,
            memory=plan.memory if plan else (),
            decode_tokens_per_s=self.ready.decode_tokens_per_s if self.ready else None,
            restarts=self.attempts.restarts,
            since=self.lifecycle.since,
            last_error=self.attempts.last_error,
            waiting=self.waits_for,
            reduced=self.ladder.in_words,
            policy=self.serving.policy,
            tenants=self.serving.tenants,
            idle_s=self.serving.idle_s if self.serving.policy is Policy.ON_DEMAND else None,
            priority=self.serving.priority,
            pinned=self.serving.pinned,
            starts_on_request=self.parked,
        )

    def details(self) -> LaunchDetails:
        history = tuple(self.lifecycle.history)
        return LaunchDetails(
            self.row(),
            _shown(self.plan),
            self.ready,
            self.reused,
            history,
            self.request.options,
            self.proof,
            None if self.conversations is None else self.conversations.kept(),
        )


def _lifecycle(record: LaunchRecord) -> Lifecycle:
    if record.desired:
        return Lifecycle()
    state = LaunchState.FAILED if record.state is LaunchState.FAILED else LaunchState.STOPPED
    return Lifecycle(state, desired=False, since=record.since)


def _shown(plan: Plan | None) -> Plan | None:
    """``plan`` for display: the address of a model may contain a password."""
    if plan is None:
        return None
    weights = replace(plan.weights, repo=without_secrets(plan.weights.repo))
    return replace(plan, model=without_secrets(plan.model), weights=weights)
