"""The next thing to give up after memory ran out, and when to try without it. Pure: no I/O, no clock, no log.

A step costs more than the one before it: memory that nobody uses, speed, a little quality, speed again,
context, quality. Nothing goes below what the owner asked for, and nothing comes back but by a climb.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from domain.errors import EngineError, NodeError
from domain.launches.restraint import UNRESTRAINED, Restraint
from domain.units import GIB, MIB, gib

OUT_OF_MEMORY = frozenset({"oom_killed", "out_of_host_memory", "out_of_device_memory", "kv_too_small"})
LEAST_UBATCH = 128
LEAST_VLLM_BATCH = 512
MARGIN_BYTES, MARGIN_SHARE = 512 * MIB, 0.05  # of what the plan needs, at least
HOST_STEPS, HOST_SHARE = 3, 0.15  # of what GPUs hold, each time
CLIMB_S, LONGEST_CLIMB_S = 12 * 3600.0, 30 * 86400.0


class Rung(StrEnum):
    MARGIN = "a larger margin"
    UBATCH = "a smaller batch"
    SEQUENCES = "fewer requests at once"
    CACHE = "a KV cache of 8 bits"
    HOST = "more of it on the host"
    GRAPHS = "no CUDA graphs"
    CONTEXT = "a shorter context"
    QUANT = "a smaller quant on this disk"
    FETCH = "a smaller quant from the hub"


@dataclass(frozen=True, slots=True)
class Facts:
    """Of the plan that failed; ``gpu_bytes`` is what it needs on GPUs. What its engine does not have is
    ``None``. ``small_cache``: the type of a cache of half the size, which ``cache_type`` is not yet.
    ``movable``: whether the host may hold a part of it. ``spare_sequences``: more than were asked for."""

    needed_bytes: int
    gpu_bytes: int
    context_tokens: int
    weights_bytes: int
    ubatch: int | None = None
    least_ubatch: int = LEAST_UBATCH
    small_cache: str | None = None
    movable: bool = True
    spare_sequences: int = 0
    has_graphs: bool = False


@dataclass(frozen=True, slots=True)
class Minimum:
    """What a launch may not go below: the context that was asked for, or that of the settings.
    ``keeps_quant``: a quant was asked for. ``may_fetch``: weights may be downloaded for it."""

    context_tokens: int
    keeps_quant: bool = False
    may_fetch: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    rung: Rung
    restraint: Restraint
    what: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    why: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """The steps that were taken, the last one in force. ``climbs`` counts those tried in vain since; the next
    one is not before ``climb_at_s``, a time of day. Stored."""

    steps: tuple[Step, ...] = ()
    climbs: int = 0
    climb_at_s: float = 0.0
    climbed: bool = False

    @property
    def restraint(self) -> Restraint:
        return self.steps[-1].restraint if self.steps else UNRESTRAINED

    @property
    def in_words(self) -> str | None:
        """``None`` for a launch that is as it was planned."""
        return "memory ran out: " + ", ".join(step.what for step in self.steps) if self.steps else None


def is_out_of_memory(error: NodeError) -> bool:
    return isinstance(error, EngineError) and error.cause in OUT_OF_MEMORY


def next_step(facts: Facts, ladder: Ladder, minimum: Minimum, *, planned: bool = True) -> Step | GiveUp:
    """What to give up next. ``planned``: an engine ran out of memory; else no plan fits what is left, and
    only what makes the model smaller helps."""
    for step in _steps(facts, ladder.restraint, minimum):
        if planned or step.rung in (Rung.CACHE, Rung.CONTEXT, Rung.QUANT, Rung.FETCH):
            return step
    return GiveUp(f"nothing is left to give up: a context of {minimum.context_tokens} is the least")


def _steps(facts: Facts, now: Restraint, minimum: Minimum) -> Iterator[Step]:
    """All that are open, the cheapest first."""
    if not now.margin_bytes:
        margin = max(MARGIN_BYTES, int(MARGIN_SHARE * facts.needed_bytes))
        what = f"{gib(margin)} more are left free"
        yield Step(Rung.MARGIN, replace(now, margin_bytes=margin), what)
    yield from _smaller_steps(facts, now)
    share = int(HOST_SHARE * facts.gpu_bytes) if facts.movable else 0
    if share and now.gpu_margin_bytes < HOST_STEPS * max(share, GIB // 4):
        moved = now.gpu_margin_bytes + max(share, GIB // 4)
        yield Step(Rung.HOST, replace(now, gpu_margin_bytes=moved), f"{gib(moved)} of the GPUs are left free")
    if facts.has_graphs and not now.no_graphs:
        yield Step(Rung.GRAPHS, replace(now, no_graphs=True), "no CUDA graphs")
    context = min(facts.context_tokens, now.context_tokens or facts.context_tokens)
    if context > minimum.context_tokens:
        shorter = max(minimum.context_tokens, context // 2)
        yield Step(Rung.CONTEXT, replace(now, context_tokens=shorter), f"a context of {shorter}")
    if not minimum.keeps_quant:
        yield from _smaller_quants(facts, now, minimum)


def _smaller_steps(facts: Facts, now: Restraint) -> Iterator[Step]:
    """What a batch takes, and the cache."""
    ubatch = min(facts.ubatch or 0, now.max_ubatch or facts.ubatch or 0)
    if ubatch > facts.least_ubatch:
        smaller = max(facts.least_ubatch, ubatch // 2)
        yield Step(Rung.UBATCH, replace(now, max_ubatch=smaller), f"batches of {smaller}")
    if facts.spare_sequences > 0 and not now.few_sequences:
        what = f"{facts.spare_sequences} fewer requests at once"
        yield Step(Rung.SEQUENCES, replace(now, few_sequences=True), what)
    if facts.small_cache and not now.small_cache:
        yield Step(Rung.CACHE, replace(now, small_cache=True), f"a KV cache of {facts.small_cache}")


def _smaller_quants(facts: Facts, now: Restraint, minimum: Minimum) -> Iterator[Step]:
    what = f"weights below {gib(facts.weights_bytes)}"
    if now.below_bytes is None or facts.weights_bytes < now.below_bytes:
        yield Step(Rung.QUANT, replace(now, below_bytes=facts.weights_bytes), what)
    elif minimum.may_fetch and not now.may_fetch:
        yield Step(Rung.FETCH, replace(now, may_fetch=True), f"{what}, downloaded")


def after_step(ladder: Ladder, step: Step, now_s: float) -> Ladder:
    """One that was taken back by a climb, and is needed after all, is tried later and later."""
    climbs = ladder.climbs + 1 if ladder.climbed else ladder.climbs
    wait_s = min(LONGEST_CLIMB_S, CLIMB_S * 2.0 ** min(climbs, 30))
    return Ladder((*ladder.steps, step), climbs, now_s + wait_s)


def may_climb(ladder: Ladder, now_s: float) -> bool:
    return bool(ladder.steps) and now_s >= ladder.climb_at_s


def after_climb(ladder: Ladder, now_s: float) -> Ladder:
    """One step back up, to be proved for as long as the next one waits."""
    return Ladder(ladder.steps[:-1], ladder.climbs, now_s + CLIMB_S, climbed=True)
