"""What was measured on this machine, kept as facts, handed to the planner."""

import asyncio
import hashlib
import json

from daemon.node import Node
from daemon.store import Store
from domain.hardware import Cpu, Hardware
from domain.plan import Plan
from launchers.base import Capabilities
from planner.calibration import Calibration


async def calibration(node: Node, machine: Hardware) -> Calibration:
    """The thread count that was fastest for the last model measured here: the best guess for the next."""
    fact = await asyncio.to_thread(node.store.fact, box_key(machine.cpu))
    return Calibration(threads=None if fact is None else int(fact.value))


def put_box_threads(store: Store, cpu: Cpu, best: int) -> None:
    store.put_fact(box_key(cpu), best)


def box_key(cpu: Cpu) -> str:
    """Of what this process may use of the CPU."""
    return f"threads:{_digest([cpu.model, cpu.usable_cpus, cpu.quota_cpus])}"


def fact_key(plan: Plan, caps: Capabilities, cpu: Cpu) -> str:
    """Of the build, the model's files, and the CPU."""
    files = [(file.name, file.size_bytes, file.sha256) for file in plan.weights.files]
    weights = [plan.weights.repo, plan.weights.quant, files]
    return f"{box_key(cpu)}:{_digest([[caps.path, caps.version], weights])}"


def _digest(facts: list[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
