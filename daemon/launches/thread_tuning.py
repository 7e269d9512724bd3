"""The fastest thread count, measured with the real engine and model once, then remembered."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.launches.start import close, known_ready, new_process, take_port
from daemon.planning.speed_history import fact_key, put_box_threads
from domain.errors import EngineError
from domain.hardware import Hardware
from domain.launch import LaunchState, Step
from domain.plan import HOST, LlamaFlags, Plan
from launchers import thread_trial
from launchers.base import Capabilities
from launchers.process.engine import EngineProcess

log = logging.getLogger(__name__)

CPU_MATTERS_SHARE = 0.25  # of the bytes: below that the GPUs decide the speed, the embedding alone stays
# Counts that differ by less are alike on a machine that others use, too: then the one that was planned stays.
WORTH = 1.1
TRIED = ":tune"  # after the launch's name in the name of a run: no launch is called so


async def with_tuned_threads(
    app: App, launch: Launch, plan: Plan, caps: Capabilities, machine: Hardware
) -> Plan:
    """``plan`` with the thread count that is fastest here; as it is where an engine of a try fails: if
    that one would fail, too, its own start tells why."""
    if not isinstance(plan.flags, LlamaFlags) or launch.request.wish.threads or not cpu_matters(plan):
        return plan
    key = fact_key(plan, caps, machine.cpu)
    fact = await asyncio.to_thread(app.store.fact, key)
    if fact is not None:
        launch.reused = (*launch.reused, "the measured thread count")
        return with_threads(plan, plan.flags, int(fact.value["best"]))
    tries = thread_trial.counts(
        machine.cpu.usable_cpus, machine.cpu.quota_cpus, machine.cpu.performance_cores
    )
    if len(tries) < 2:
        return plan
    launch.become(LaunchState.STARTING)
    launch.say(Step.TUNE, f"trying {', '.join(str(count) for count in tries)} threads")
    try:
        async with app.measuring_lock:
            rates = await _measure(app, launch, plan, plan.flags, caps, tries)
    except EngineError as error:
        log.warning("threads not tried: launch=%s %s", launch.name, error.in_full)
        launch.say(
            Step.TUNE, f"the trial failed, {plan.flags.threads or 'the usual'} threads stay: {error.in_full}"
        )
        return plan
    if not rates:
        return plan
    best = worth_it(rates, plan.flags.threads)
    said = ", ".join(f"{count}: {rate:.0f} tokens/s" for count, rate in rates.items())
    launch.say(Step.TUNE, f"{best} threads it is ({said})")
    value = {"best": best, "rates": {str(count): rate for count, rate in rates.items()}}
    await asyncio.to_thread(app.store.put_fact, key, value)
    await asyncio.to_thread(put_box_threads, app.store, machine.cpu, best)
    return with_threads(plan, plan.flags, best)


def worth_it(rates: Mapping[int, float], planned: int | None) -> int:
    """The fastest count, where it beats the planned one by more than noise."""
    best = max(rates, key=lambda count: rates[count])
    if planned is None or planned not in rates:
        return best
    return best if rates[best] >= WORTH * rates[planned] else planned


def cpu_matters(plan: Plan) -> bool:
    """Whether the CPU computes a good part of the model."""
    weights_bytes = sum(device.weights_bytes for device in plan.memory)
    on_host = sum(device.weights_bytes for device in plan.memory if device.device == HOST)
    return on_host > CPU_MATTERS_SHARE * weights_bytes


def with_threads(plan: Plan, flags: LlamaFlags, count: int) -> Plan:
    """Where fewer than planned are faster, others use the CPU, and a prompt suffers from it, too."""
    batch = count if flags.threads is None or count < flags.threads else flags.threads_batch
    return replace(plan, flags=replace(flags, threads=count, threads_batch=batch))


def launch_of(run: str) -> str:
    """The launch that a run belongs to, a trial's, too."""
    return run.removesuffix(TRIED)


async def _measure(
    app: App, launch: Launch, plan: Plan, flags: LlamaFlags, caps: Capabilities, tries: tuple[int, ...]
) -> dict[int, float]:
    launcher = app.adapters.launchers[plan.engine]
    port = await take_port(app, launch)

    @asynccontextmanager
    async def serve(count: int) -> AsyncIterator[EngineProcess]:
        """Written down like any other engine: a daemon that dies meanwhile must not leave it behind."""
        one = with_threads(plan, flags, count)
        command = launcher.command(one, caps=caps, port=port, name=f"{launch.name}-tune")
        run_id = await asyncio.to_thread(
            app.store.open_run, launch.name + TRIED, command, port=port, engine_version=caps.version
        )
        process = new_process(app, one, command, app.log_path(launch.name))
        try:
            await known_ready(app, launch, process, run_id)
            yield process
        finally:
            await process.stop()
            await close(app, run_id, "was a trial")

    return await thread_trial.tune(serve, tries)
