"""The best command for a model on this machine, or on one that isn't here."""

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from daemon import hardware, ledger
from daemon.calibrate import calibration
from daemon.node import Node
from domain.errors import (
    BadModelError,
    DoesNotFitError,
    DownloadError,
    EngineError,
    UnknownModelError,
    UsageError,
)
from domain.hardware import Hardware
from domain.jsonable import to_json
from domain.model import Candidate
from domain.plan import HOST, Plan, Wish
from planner import choose
from planner.budget import Reserve
from planner.calibration import Calibration

SUGGESTION_BUDGET_S = 0.5
READING_TOKENS_PER_S = 5.0  # 238 words a minute (Brysbaert 2019), 4 tokens for 3 words


async def plan(node: Node, model: str, wish: Wish, *, on: Hardware | None = None) -> Plan:
    """The plan that a launch would run now, or that the machine ``on`` would. Starts and keeps nothing."""
    candidates, machine = await asyncio.gather(resolved(node, model, wish), _machine(node, on))
    known = Calibration() if on else await calibration(node, machine)
    chosen = await choose_plan(node, model, candidates, machine, wish, known)
    return await asyncio.to_thread(with_command, node, chosen)


async def resolved(node: Node, model: str, wish: Wish) -> tuple[Candidate, ...]:
    return await asyncio.to_thread(
        node.rooms.candidates,
        model,
        catalogue=node.catalogue,
        models_dir=node.settings.models_dir,
        engine=wish.engine,
        offline=node.settings.offline,
    )


async def choose_plan(
    node: Node,
    model: str,
    candidates: Sequence[Candidate],
    machine: Hardware,
    wish: Wish,
    known: Calibration,
) -> Plan:
    """Raises: DoesNotFitError, whose hint names what would fit instead."""
    reserve = reserved(node)

    def think() -> Plan:
        try:
            return choose.plan(model, candidates, machine, wish, calibration=known, reserve=reserve)
        except DoesNotFitError as error:
            instead = suggest_instead(node, machine, wish, known)
            error.hint = "; ".join(part for part in (error.hint, instead) if part)
            raise

    return await asyncio.to_thread(think)


def with_command(node: Node, plan: Plan) -> Plan:
    """``plan`` with the command line its engine gets; of a build of today where none can be asked. Blocks."""
    launcher = node.rooms.launchers[plan.engine]
    try:
        caps = node.rooms.engine(plan.engine)
    except EngineError:  # a plan is an answer also for a box, or before an engine, that isn't here
        caps = launcher.assume()
    command = launcher.command(plan, caps=caps, port=node.settings.port_first, name=plan.model)
    return replace(plan, argv=command.argv, env=command.env)


def suggest_instead(node: Node, machine: Hardware, wish: Wish, known: Calibration) -> str:
    """The largest model of the catalogue that would fit and can be read along, in words; else the largest
    that fits at all; empty if none does within the budget. Asks no network: rebuilt shapes are enough."""
    slow = ""
    for plan in _that_fit(node, machine, wish, known, time.monotonic() + SUGGESTION_BUDGET_S):
        speed = plan.speed.decode_tokens_per_s
        rate = f", about {speed.expected:.0f} tokens/s" if speed else ""
        words = f"{plan.model} ({plan.weights.quant}{rate}) would fit"
        if speed is None or speed.expected >= READING_TOKENS_PER_S:
            return words
        slow = slow or words
    return slow


def _that_fit(
    node: Node, machine: Hardware, wish: Wish, known: Calibration, deadline_s: float
) -> Iterator[Plan]:
    devices = (HOST, *(f"GPU{index}" for index in range(len(machine.gpus))))
    room_bytes = sum(ledger.free_bytes(machine, device) or 0 for device in devices)
    for model in sorted(node.catalogue.values(), key=lambda model: model.parameters or 0, reverse=True):
        if not model.quants or min(quant.size_bytes for quant in model.quants) > room_bytes:
            continue
        if time.monotonic() > deadline_s:
            return
        try:
            candidates = node.rooms.candidates(
                model.alias, catalogue=node.catalogue, models_dir=node.settings.models_dir, offline=True
            )
            yield choose.plan(
                model.alias, candidates, machine, wish, calibration=known, reserve=reserved(node)
            )
        except (DoesNotFitError, UnknownModelError, UsageError, BadModelError, DownloadError):
            continue  # not this one: too large, without the wished quant, or known to the network alone


def fingerprint(machine: Hardware, engine: str, version: str | None, path: str, wish: Wish) -> str:
    """Of all that a plan depends on and that outlives a reboot. Free memory is checked apart."""
    facts = (
        [(gpu.id, gpu.name, gpu.memory_total_bytes) for gpu in machine.gpus],
        [machine.memory.total_bytes, machine.memory.cgroup_limit_bytes],
        [machine.cpu.model, machine.cpu.usable_cpus, machine.cpu.quota_cpus],
        [engine, version, path],
        to_json(wish),
    )
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def reserved(node: Node) -> Reserve:
    """The planner's own margins, but for those that the owner has set."""
    own = {"host_bytes": node.settings.host_reserve_bytes, "gpu_bytes": node.settings.gpu_margin_bytes}
    return Reserve(**{key: value for key, value in own.items() if value is not None})


async def _machine(node: Node, on: Hardware | None) -> Hardware:
    if on is not None:
        return on
    return ledger.without(await hardware.look(node), node.ledger.others(""))
