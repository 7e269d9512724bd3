"""Takes the next step of a launch that ran out of memory, stores it, and tells."""

import hashlib
import json
import time

from daemon.app import App
from daemon.launches.ladder import policy
from daemon.launches.ladder.policy import Facts, GiveUp, Ladder, Minimum
from daemon.launches.launch import Launch
from daemon.state.records import LaunchRequest
from domain.errors import DoesNotFitError, NodeError, UnknownModelError, UsageError
from domain.events import EventKind
from domain.plan import HOST, LlamaFlags, Plan
from domain.serialization import to_json

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
    step = policy.next_step(_facts(plan), ladder, _minimum(app, launch), planned=ran_out)
    if isinstance(step, GiveUp):
        await keep(app, launch, Ladder())
        message = f"{launch.name}: {error}; {step.why}: it is tried as it was asked for"
        await app.events.append(EventKind.LADDER_ENDED, message, launch=launch.name)
        return
    await keep(app, launch, policy.after_step(ladder, step, time.time()))
    message = f"{launch.name}: {error.in_full}: it is planned again with {step.rung} ({step.what})"
    await app.events.append(EventKind.REDUCED, message, launch=launch.name)


async def reduce(app: App, launch: Launch, why: str) -> bool:
    """The next step of one that serves, which makes it smaller, for its next start. False if there is
    none."""
    if launch.plan is None:
        return False
    step = policy.next_step(_facts(launch.plan), launch.ladder, _minimum(app, launch), planned=False)
    if isinstance(step, GiveUp):
        return False
    await keep(app, launch, policy.after_step(launch.ladder, step, time.time()))
    message = f"{launch.name}: {why}: it is planned again with {step.rung} ({step.what})"
    await app.events.append(EventKind.REDUCED, message, launch=launch.name)
    return True


async def keep(app: App, launch: Launch, ladder: Ladder) -> None:
    launch.ladder, launch.fingerprint = ladder, None  # planned again
    await app.store.record(_key(launch.request), ladder)


def _facts(plan: Plan) -> Facts:
    flags = plan.flags if isinstance(plan.flags, LlamaFlags) else None
    return Facts(
        needed_bytes=plan.needed_bytes,
        gpu_bytes=sum(row.needed_bytes for row in plan.memory if row.device != HOST),
        context_tokens=plan.context_tokens,
        weights_bytes=plan.weights.size_bytes,
        ubatch=flags.ubatch if flags else None,
        cache_type=flags.cache_type_k if flags else None,
    )


def _minimum(app: App, launch: Launch) -> Minimum:
    options = launch.request.options
    return Minimum(
        context_tokens=options.context_tokens or app.settings.ladder_min_context,
        keeps_quant=options.quality is not None or ":" in launch.request.model.rpartition("/")[2],
        may_fetch=app.settings.ladder_fetch and not app.settings.offline,
    )


def _key(request: LaunchRequest) -> str:
    text = json.dumps([request.name, request.model, to_json(request.options)])
    return f"ladder:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
