"""The fastest thread count, measured with the real engine and model once, then remembered."""

import asyncio
import logging
from dataclasses import replace

from daemon.calibrate import fact_key, put_box_threads
from daemon.live import Live
from daemon.node import Node
from daemon.start import new_process
from domain.hardware import Hardware
from domain.launch import LaunchState, Step
from domain.plan import HOST, LlamaFlags, Plan
from launchers import ports, threads
from launchers.base import Capabilities
from launchers.process import EngineProcess

log = logging.getLogger(__name__)

CPU_MATTERS_SHARE = 0.25  # of the bytes: below that the GPUs decide the speed, the embedding alone stays


async def tuned(node: Node, live: Live, plan: Plan, caps: Capabilities, machine: Hardware) -> Plan:
    """``plan`` with the thread count that is fastest here. Raises: EngineError where none comes up."""
    if not isinstance(plan.flags, LlamaFlags) or live.request.wish.threads or not cpu_matters(plan):
        return plan
    key = fact_key(plan, caps, machine.cpu)
    fact = await asyncio.to_thread(node.store.fact, key)
    if fact is not None:
        live.reused = (*live.reused, "the measured thread count")
        return with_threads(plan, plan.flags, int(fact.value["best"]))
    tries = threads.counts(machine.cpu.usable_cpus, machine.cpu.quota_cpus, machine.cpu.performance_cores)
    if len(tries) < 2:
        return plan
    live.become(LaunchState.STARTING)
    live.say(Step.TUNE, f"trying {', '.join(str(count) for count in tries)} threads")
    async with node.measuring:
        rates = await _measure(node, live, plan, plan.flags, caps, tries)
    best = max(rates, key=lambda count: rates[count], default=None)
    if best is None:
        return plan
    said = ", ".join(f"{count}: {rate:.0f} tokens/s" for count, rate in rates.items())
    live.say(Step.TUNE, f"{best} threads it is ({said})")
    value = {"best": best, "rates": {str(count): rate for count, rate in rates.items()}}
    await asyncio.to_thread(node.store.put_fact, key, value)
    await asyncio.to_thread(put_box_threads, node.store, machine.cpu, best)
    return with_threads(plan, plan.flags, best)


def cpu_matters(plan: Plan) -> bool:
    """Whether the CPU computes a good part of the model."""
    weights_bytes = sum(device.weights_bytes for device in plan.memory)
    on_host = sum(device.weights_bytes for device in plan.memory if device.device == HOST)
    return on_host > CPU_MATTERS_SHARE * weights_bytes


def with_threads(plan: Plan, flags: LlamaFlags, count: int) -> Plan:
    """Where fewer than planned are faster, others use the CPU, and a prompt suffers from it, too."""
    batch = count if flags.threads is None or count < flags.threads else flags.threads_batch
    return replace(plan, flags=replace(flags, threads=count, threads_batch=batch))


async def _measure(
    node: Node, live: Live, plan: Plan, flags: LlamaFlags, caps: Capabilities, tries: tuple[int, ...]
) -> dict[int, float]:
    launcher = node.rooms.launchers[plan.engine]
    taken = {other.port for other in node.live.values() if other.port}
    settings = node.settings
    port = await asyncio.to_thread(ports.free_port, settings.port_first, settings.port_last, taken=taken)

    def process_with(count: int) -> EngineProcess:
        one = with_threads(plan, flags, count)
        command = launcher.command(one, caps=caps, port=port, name=f"{live.name}-tune")
        return new_process(node, one, command, node.log_path(f"{live.name}.tune"))

    return await threads.tune(process_with, tries)
