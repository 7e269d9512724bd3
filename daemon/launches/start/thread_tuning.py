"""The fastest thread count, measured once with the real engine and model, then stored."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.launches.start.engine import choose_port, engine_gone, start_engine
from daemon.launches.state_machine import Event
from daemon.planning.speed_history import cpu_key, threads_key
from domain.errors import EngineError
from domain.hardware import Hardware
from domain.launch import Step
from domain.plan import HOST, LlamaFlags, Plan
from launchers import thread_trial
from launchers.base import Capabilities
from launchers.process.engine import EngineProcess

log = logging.getLogger(__name__)

CPU_MATTERS_SHARE = 0.25  # of the weights, a rule of thumb: below it, GPUs decide the speed
# A rule of thumb without another source: below it the difference may be noise, and the planned count stays.
MIN_SPEEDUP = 1.1


@dataclass(frozen=True, slots=True)
class ThreadTrial:
    """``rates`` are tokens a second by thread count."""

    best: int
    rates: dict[str, float]


async def with_tuned_threads(
    app: App, launch: Launch, plan: Plan, caps: Capabilities, machine: Hardware
) -> Plan:
    """``plan`` with the thread count that is fastest here; unchanged if an engine of the trial fails: if the
    real start fails too, it reports why."""
    if not isinstance(plan.flags, LlamaFlags) or launch.request.options.threads or not cpu_matters(plan):
        return plan
    key = threads_key(plan, caps, machine.cpu)
    stored = await app.store.recall(ThreadTrial, key)
    if stored is not None:
        launch.reuse("the measured thread count")
        return with_threads(plan, plan.flags, stored.best)
    counts = thread_trial.candidate_counts(
        machine.cpu.usable_cpus, machine.cpu.quota_cpus, machine.cpu.performance_cores
    )
    if len(counts) < 2:
        return plan
    launch.apply(Event.START)
    launch.say(Step.TUNE, f"trying {', '.join(str(count) for count in counts)} threads")
    try:
        async with app.measuring_lock:
            rates = await _measure(app, launch, plan, plan.flags, caps, counts)
    except EngineError as error:
        if launch.engine is not None:  # it can't be killed: no other engine may start
            raise
        log.warning("threads not tried: launch=%s %s", launch.name, error.in_full)
        stay = f"{plan.flags.threads} threads are" if plan.flags.threads else "the default thread count is"
        launch.say(Step.TUNE, f"the trial failed, {stay} used: {error.in_full}")
        return plan
    if not rates:
        return plan
    best = choose_count(rates, plan.flags.threads)
    measured = ", ".join(f"{count}: {rate:.0f} tokens/s" for count, rate in rates.items())
    launch.say(Step.TUNE, f"using {best} {'thread' if best == 1 else 'threads'} ({measured})")
    await app.store.record(key, ThreadTrial(best, {str(count): rate for count, rate in rates.items()}))
    await app.store.record(cpu_key(machine.cpu), best)
    return with_threads(plan, plan.flags, best)


def choose_count(rates: Mapping[int, float], planned: int | None) -> int:
    """The fastest count, if it beats the planned one by more than noise."""
    best = max(rates, key=lambda count: rates[count])
    if planned is None or planned not in rates:
        return best
    return best if rates[best] >= MIN_SPEEDUP * rates[planned] else planned


def cpu_matters(plan: Plan) -> bool:
    """Whether the CPU computes a good part of the model."""
    weights_bytes = sum(device.weights_bytes for device in plan.memory)
    on_host = sum(device.weights_bytes for device in plan.memory if device.device == HOST)
    return on_host > CPU_MATTERS_SHARE * weights_bytes


def with_threads(plan: Plan, flags: LlamaFlags, count: int) -> Plan:
    """A count below the planned one is used for prompts, too: other processes use the CPU then."""
    batch = count if flags.threads is None or count < flags.threads else flags.threads_batch
    return replace(plan, flags=replace(flags, threads=count, threads_batch=batch))


async def _measure(
    app: App, launch: Launch, plan: Plan, flags: LlamaFlags, caps: Capabilities, counts: tuple[int, ...]
) -> dict[int, float]:
    launcher = app.adapters.launchers[plan.engine]
    port = await choose_port(app, launch)

    @asynccontextmanager
    async def serve(count: int) -> AsyncIterator[EngineProcess]:
        """If it is cancelled, the supervisor ends its engine, as for any start."""
        tried = with_threads(plan, flags, count)
        command = launcher.command(tried, caps=caps, port=port, name=f"{launch.name}-tune")
        try:
            await start_engine(app, launch, tried, command, engine_version=caps.version, trial=True)
            if launch.process is not None:
                yield launch.process
        finally:
            await _end_trial(app, launch)

    return await thread_trial.measure(serve, counts)


async def _end_trial(app: App, launch: Launch) -> None:
    if launch.process is not None:
        await launch.process.stop()
        await engine_gone(app, launch, "was a trial")
