"""When an engine that serves is taken for hung. Pure: looks and their times in, a verdict out.

Tokens move, or nothing waits: all is well. A time-out is no verdict: an engine that computes a long batch
answers nobody meanwhile. One that nothing comes from for longer than such a batch takes, in two looks, is
hung.
"""

from dataclasses import dataclass, replace
from math import inf

from launchers.liveness import Activity, Look

FAILURES = 2  # in a row, of looks or of canaries
GAP = 5.0  # between looks, of what was intended: then the daemon or the machine slept, and saw nothing
WORKING_S = (60.0, 300.0)  # least patience with an engine that computes; where its batch's time is unknown
WORKING_BATCHES, QUIET_BATCHES = 10.0, 1.5  # a prompt is slower at depth; GPUs compute without the CPU
IMAGE_S, QUIET_IMAGE_S = 600.0, 60.0  # an image is encoded without a token
SUSPICION = 5.0  # times as often as otherwise, a slow engine is asked


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one engine. It is looked at every ``idle_s``, every ``busy_s`` while it serves; ``stall_s`` is the
    time without a sign of life that makes it hung. ``batch_s``: what its longest batch takes, ``None`` if not
    known; ``on_gpu`` computes it without the CPU. A canary is sent after ``canary_s`` without a proof,
    ``rest_s`` after the last client, and checks the known answer every ``answer_s``."""

    idle_s: float
    busy_s: float
    stall_s: float
    canary_s: float
    rest_s: float
    answer_s: float
    batch_s: float | None = None
    on_gpu: bool = False
    has_projector: bool = False

    def patience_s(self, look: Look, *, works: bool) -> float | None:
        """How long nothing may come from it; ``None``: no verdict. What answers nobody and works has clients
        on all its connections."""
        if look.work.stopped:
            return self.stall_s
        if works:
            return self._working_s() if look.answers else None
        if not self.on_gpu:
            return self.stall_s
        return max(self.stall_s, QUIET_BATCHES * (self.batch_s or 0.0), QUIET_IMAGE_S * self.has_projector)

    def _working_s(self) -> float:
        least_s, unknown_s = WORKING_S
        known_s = unknown_s if self.batch_s is None else WORKING_BATCHES * self.batch_s
        return max(self.stall_s, least_s, known_s, IMAGE_S * self.has_projector)


@dataclass(frozen=True, slots=True)
class Canary:
    """When the last one was sent, and the known question answered; how many failed in a row."""

    at_s: float
    answer_at_s: float
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """``look`` at ``at_s`` was the last one, ``counted`` what it last counted. ``well_s`` is the last sign of
    life, ``client_s`` that of a client. ``failures`` are looks in a row that showed none, since
    ``failing_s``; after ``patience_s`` without one it is hung, ``None`` for never."""

    look: Look
    at_s: float
    well_s: float
    client_s: float
    canary: Canary
    counted: Activity | None = None
    failures: int = 0
    failing_s: float = 0.0
    patience_s: float | None = None

    @classmethod
    def first(cls, look: Look, at_s: float, canary: Canary) -> "Health":
        client_s = at_s if is_busy(look) else -inf
        return cls(look, at_s, well_s=at_s, client_s=client_s, canary=canary, counted=look.activity)

    @property
    def is_idle(self) -> bool:
        return self.failures == 0 and self.look.answers and not is_busy(self.look)

    @property
    def hung(self) -> str | None:
        """What an owner is told of a hung engine; ``None`` for one that works, or may."""
        waited_s = self.at_s - self.well_s
        if self.failures < FAILURES or self.patience_s is None or waited_s < self.patience_s:
            return None
        if self.look.work.stopped:
            return f"its processes are stopped (SIGSTOP), for {waited_s:.0f} s"
        if not self.look.answers:
            return f"it answers nothing and does nothing, for {waited_s:.0f} s"
        count = self.counted.open_requests if self.counted is not None else 0
        return f"{count or 'some'} requests are open, and no token came for {waited_s:.0f} s"

    def next_look_s(self, limits: Limits) -> float:
        """The pause before the next look."""
        if self.failures:
            return limits.busy_s / FAILURES
        return limits.idle_s if self.is_idle else limits.busy_s


def is_busy(look: Look) -> bool:
    return look.silent or (look.activity is not None and look.activity.open_requests > 0)


def after_look(health: Health, look: Look, at_s: float, limits: Limits) -> Health:
    elapsed_s = at_s - health.at_s
    if elapsed_s > GAP * max(limits.idle_s, limits.stall_s):
        return Health.first(look, at_s, health.canary)  # the daemon or the machine slept: nobody looked
    moved = _moved(health.counted, look.activity)
    seen = replace(
        health,
        look=look,
        at_s=at_s,
        client_s=at_s if moved or is_busy(look) else health.client_s,
        counted=look.activity or health.counted,
    )
    well = replace(seen, well_s=at_s, failures=0, failing_s=0.0, patience_s=None)
    if moved or (look.answers and not is_busy(look)):
        return well
    patience_s = limits.patience_s(look, works=look.worked_since(health.look, elapsed_s))
    if patience_s is None:
        return well
    if look.answers and at_s - health.well_s < patience_s / FAILURES:
        return seen
    failing_s = health.failing_s if health.failures else at_s
    failures = health.failures + 1
    if failures >= FAILURES and at_s - failing_s < limits.stall_s / FAILURES:
        failures = FAILURES - 1  # the looks were too close to count as two
    return replace(seen, failures=failures, failing_s=failing_s, patience_s=patience_s)


def _moved(before: Activity | None, now: Activity | None) -> bool:
    """Whether tokens moved."""
    return before is not None and now is not None and before.counters != now.counters


def progressed(before: Health, now: Health) -> bool:
    """Whether a canary that is out may come yet: tokens moved, or pages came from a disk. Weights that are
    mapped leave the RAM while an engine is idle and others need it; all of them are read again then."""
    waited_for_pages = now.look.work.major_faults > before.look.work.major_faults
    return now.counted != before.counted or waited_for_pages


def canary_due_s(health: Health, now_s: float, limits: Limits) -> float | None:
    """In how many seconds a canary is due; ``None`` while it is busy, and without canaries."""
    if not limits.canary_s or not health.is_idle:
        return None
    canary = health.canary
    pause_s = limits.busy_s if canary.failures else limits.canary_s
    return max(0.0, canary.at_s + pause_s - now_s, health.client_s + limits.rest_s - now_s)


def with_canary_due(health: Health) -> Health:
    """With the known question, once it is idle: after a suspend a GPU may have lost what it held."""
    return replace(health, canary=replace(health.canary, at_s=-inf, answer_at_s=-inf))


def asks_answer(health: Health, now_s: float, limits: Limits, *, suspicious: bool) -> bool:
    """Whether the canary is the known question in full. ``suspicious``: its last answer was slow."""
    canary = health.canary
    pause_s = limits.answer_s / SUSPICION if suspicious else limits.answer_s
    return canary.failures > 0 or now_s - canary.answer_at_s >= pause_s


def after_canary(health: Health, at_s: float, *, is_answer: bool, passed: bool) -> Health:
    """``is_answer``: it was the known question."""
    before = health.canary
    if not passed:
        return replace(health, canary=replace(before, at_s=at_s, failures=before.failures + 1))
    return replace(health, canary=Canary(at_s, at_s if is_answer else before.answer_at_s))
