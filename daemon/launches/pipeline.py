"""One launch, top to bottom. The API, the restore at a start and the supervisor all call ``launch``."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.app import Node
from daemon.launches.launch import Live
from daemon.launches.persistence import remember
from daemon.launches.start import start
from daemon.launches.thread_tuning import tuned
from daemon.machine import snapshot
from daemon.planning.plan import checked_plan, fingerprint, glance, resolved
from daemon.planning.speed_history import calibration, with_speed
from daemon.resources import ledger
from daemon.weights.ensure import fetched
from domain.errors import DoesNotFitError
from domain.hardware import Hardware
from domain.launch import LaunchState, Step
from domain.plan import HOST, Plan
from domain.redact import without_secrets
from domain.units import gib, rate
from launchers.base import Capabilities


@dataclass(frozen=True, slots=True)
class Placed:
    """A plan, the engine for it, and the machine it was made for."""

    plan: Plan
    caps: Capabilities
    machine: Hardware


async def launch(node: Node, live: Live) -> None:
    """Serves ``live.request``: returns once its engine has given the known answer.

    The launch is desired from the moment it has a plan. Raises NodeError; then nothing of it runs, its
    memory is given back, and what ran before still runs.
    """
    live.become(LaunchState.QUEUED)
    live.reused = ()
    try:
        async with node.admission:
            placed = await place(node, live)
            node.ledger.reserve(live.name, placed.plan)
        live.plan, live.kept = placed.plan, True
        live.gpus = tuple(gpu.id for gpu in placed.machine.gpus)
        await remember(node, live)
        plan = await fetched(node, live, placed.plan)
        plan = await tuned(node, live, plan, placed.caps, placed.machine)
        live.plan = plan
        await start(node, live, plan, placed.caps)
    except BaseException:  # cancelled, too: memory that nobody holds must not stay promised
        if live.process is None:
            node.ledger.release(live.name)
        raise


async def place(node: Node, live: Live) -> Placed:
    """Resolve, probe, plan, ask the engine. A plan that was made for this machine, engine and wish is kept
    as it is: a restart must not serve less than the start did."""
    if live.plan is not None and await asyncio.to_thread(_on_disk, live.plan):
        kept = await kept_plan(node, live, live.plan)
        if kept is not None:
            return kept
    wish = live.request.wish
    live.say(Step.RESOLVE, f"looking for {without_secrets(live.request.model)}")
    candidates = await resolved(node, live.request.model, wish, (await glance(node),))
    live.say(Step.PROBE, "looking at the machine")
    machine = await _machine(node, live)
    live.say(Step.PLAN, "planning")
    known = await calibration(node, machine)
    plan = await checked_plan(node, live.request.model, candidates, machine, wish, known)
    caps = await asyncio.to_thread(node.rooms.engine, plan.engine)
    live.fingerprint = fingerprint(machine, plan.engine, caps.version, caps.path, wish)
    command = node.rooms.launchers[plan.engine].command(
        plan, caps=caps, port=node.settings.port_first, name=live.name
    )
    live.say(Step.PLAN, in_words(plan))
    if live.kept and live.plan is not None and (less := changed(live.plan, plan)):
        said = f"planned anew, the machine or the engine is another: {less}"
        live.say(Step.PLAN, said)
        await node.diary.write("replanned", f"{live.name} is {said}", launch=live.name)
    return Placed(replace(plan, argv=command.argv, env=command.env), caps, machine)


async def kept_plan(node: Node, live: Live, plan: Plan) -> Placed | None:
    """The stored plan, if it still holds. Raises: DoesNotFitError for a desired launch where only free
    memory is missing: nobody is there to agree to less."""
    live.say(Step.PROBE, "looking at the machine")
    machine = await _machine(node, live)
    caps = await asyncio.to_thread(node.rooms.engine, plan.engine)
    if fingerprint(machine, plan.engine, caps.version, caps.path, live.request.wish) != live.fingerprint:
        return None
    for device in plan.memory:
        free_bytes = ledger.free_bytes(machine, device.device)
        is_mapped = device.device == HOST and not plan.fits  # from disk, as asked
        if free_bytes is not None and device.needed_bytes > free_bytes and not is_mapped:
            if not live.kept:
                return None
            raise DoesNotFitError(
                live.name,
                needs_bytes=device.needed_bytes,
                has_bytes=free_bytes,
                instead=f"it was planned when {device.device} had more free; stop what took it",
            )
    live.reused = (*live.reused, "the plan of the last start")
    plan = await with_speed(node, plan, machine)
    live.say(Step.PLAN, in_words(plan))
    return Placed(plan, caps, machine)


def changed(old: Plan, new: Plan) -> str:
    """What an owner would notice of another plan, in words; empty where nothing is."""
    pairs = (
        ("engine", old.engine, new.engine),
        ("quant", old.weights.quant, new.weights.quant),
        ("context", old.context_tokens, new.context_tokens),
        ("parallel", old.parallel, new.parallel),
        ("on", _devices(old), _devices(new)),
    )
    return ", ".join(f"{what} {after} after {before}" for what, before, after in pairs if before != after)


def _devices(plan: Plan) -> str:
    return "+".join(row.device for row in plan.memory if row.needed_bytes)


def in_words(plan: Plan) -> str:
    """One line: engine, quant, context, where it lies and how sure that is, how fast."""
    where = ", ".join(f"{device.device} {gib(device.needed_bytes)}" for device in plan.memory)
    speed = plan.speed.decode_tokens_per_s
    pace = f", about {rate(speed.expected)} tokens/s" if speed else ""
    what = f"{plan.engine}, {plan.weights.quant}, context {plan.context_tokens}"
    return f"{what}, {where} ({plan.confidence}){pace}"


def _on_disk(plan: Plan) -> bool:
    return plan.weights.first_path is not None and Path(plan.weights.first_path).exists()


async def _machine(node: Node, live: Live) -> Hardware:
    if await snapshot.measured_before(node):
        live.reused = (*live.reused, "the measured RAM bandwidth")
    return ledger.without(await snapshot.look(node), node.ledger.others(live.name))
