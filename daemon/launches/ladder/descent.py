"""Takes the next step of a launch that ran out of memory, stores it, and tells."""

import hashlib
import json
import time
from dataclasses import replace

from daemon.app import App
from daemon.launches.health.limits import VLLM_BATCH_TOKENS
from daemon.launches.ladder import policy
from daemon.launches.ladder.policy import LEAST_VLLM_BATCH, Facts, GiveUp, Ladder, Minimum, Step
from daemon.launches.launch import Launch
from daemon.state.records import LaunchRequest
from domain.errors import DoesNotFitError, EngineError, NodeError, UnknownModelError, UsageError
from domain.events import EventKind
from domain.launches.plan import HOST, LaunchOptions, LlamaFlags, Plan
from domain.serialization import to_json

CACHE_TOO_SMALL = "kv_too_small"  # a smaller batch or a margin does not help
NOTHING_FITS = (DoesNotFitError, UnknownModelError, UsageError)


async def recall(app: App, launch: Launch) -> Ladder:
    """What a launch of this request was held to before. Kept with the request: another one begins anew."""
    return await app.store.recall(Ladder, _key(launch.request)) or Ladder()


async def descend(app: App, launch: Launch, error: NodeError) -> None:
    """After ``error`` ended an attempt: if memory ran out, the next plan gives something up. Where no plan
    fits what is left, it gives up more; with nothing left to give up it is as asked for again."""
    ladder, plan = launch.ladder, launch.plan
    ran_out = policy.is_out_of_memory(error)
    if plan is None or not (ran_out or (ladder.steps and isinstance(error, NOTHING_FITS))):
        return
    is_cache = isinstance(error, EngineError) and error.cause == CACHE_TOO_SMALL
    step = policy.next_step(_facts(plan), ladder, _minimum(app, launch), planned=ran_out and not is_cache)
    if isinstance(step, GiveUp):
        await keep(app, launch, Ladder())
        message = f"{launch.name}: {error}; {step.why}: it is tried as it was asked for"
        await app.events.append(EventKind.LADDER_ENDED, message, launch=launch.name)
        return
    await _take(app, launch, step, error.in_full)


async def reduce(app: App, launch: Launch, why: str) -> bool:
    """The next step of one that serves, which makes it smaller, for its next start. False if there is
    none."""
    if launch.plan is None:
        return False
    step = policy.next_step(_facts(launch.plan), launch.ladder, _minimum(app, launch), planned=False)
    if isinstance(step, GiveUp):
        return False
    await _take(app, launch, step, why)
    return True


async def _take(app: App, launch: Launch, step: Step, why: str) -> None:
    await keep(app, launch, policy.after_step(launch.ladder, step, time.time()))
    message = f"{launch.name}: {why}: it is planned again with {step.rung} ({step.what})"
    await app.events.append(EventKind.REDUCED, message, launch=launch.name)


async def keep(app: App, launch: Launch, ladder: Ladder) -> None:
    launch.ladder, launch.fingerprint = ladder, None  # planned again
    await app.store.record(_key(launch.request), ladder)


def _facts(plan: Plan) -> Facts:
    gpu_bytes = sum(row.needed_bytes for row in plan.memory if row.device != HOST)
    facts = Facts(plan.needed_bytes, gpu_bytes, plan.context_tokens, plan.weights.size_bytes)
    flags = plan.flags
    if isinstance(flags, LlamaFlags):
        small = "q8_0" if flags.cache_type_k == "f16" else None
        return replace(facts, ubatch=flags.ubatch, small_cache=small)
    return replace(
        facts,
        ubatch=flags.max_num_batched_tokens or VLLM_BATCH_TOKENS,
        least_ubatch=LEAST_VLLM_BATCH,
        small_cache="fp8" if flags.kv_cache_dtype == "auto" and gpu_bytes else None,
        movable=False,
        spare_sequences=max(0, (flags.max_num_seqs or plan.parallel) - plan.parallel),
        has_graphs=bool(gpu_bytes) and not flags.enforce_eager,
    )


def _minimum(app: App, launch: Launch) -> Minimum:
    options = launch.request.options
    return Minimum(
        context_tokens=_least_context(options, app.settings.ladder_min_context),
        keeps_quant=options.quality is not None or ":" in launch.request.model.rpartition("/")[2],
        may_fetch=app.settings.ladder_fetch and not app.settings.offline,
    )


def _least_context(options: LaunchOptions, least: int) -> int:
    return options.context_tokens or options.min_context_tokens or least


def _key(request: LaunchRequest) -> str:
    """Options that an earlier version did not have count where they are given: what it stored stays valid."""
    given = {
        name: value
        for name, value in to_json(request.options).items()
        if value is not None or name not in ("min_context_tokens", "min_quality")
    }
    text = json.dumps([request.name, request.model, given])
    return f"ladder:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
