"""The best command for a model on this machine, or on one that isn't here."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from daemon import hardware, ledger, suggest
from daemon.calibrate import calibration
from daemon.node import Node
from domain.errors import DoesNotFitError, EngineError
from domain.hardware import Hardware
from domain.jsonable import to_json
from domain.model import Candidate
from domain.plan import Plan, Wish
from planner import choose
from planner.budget import Reserve
from planner.calibration import Calibration


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
            instead = suggest.instead_of(node, candidates, machine, wish, calibration=known, reserve=reserve)
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
