"""The fastest thread count, measured with the real engine and model, and stored for as long as it holds."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.launches.start.engine import choose_port, end_trial, start_engine
from daemon.launches.start.trial_record import ThreadTrial, TrialBasis, busy_note, is_busy
from daemon.launches.state_machine import Event
from daemon.planning.speed_history import cpu_key, threads_key, trial_key
from domain.errors import EngineError
from domain.events import EventKind
from domain.launches.launch import Step
from domain.launches.plan import HOST, LlamaFlags, Plan
from domain.machine.hardware import Cpu, Hardware
from launchers.base import Capabilities
from launchers.process.engine import EngineProcess
from launchers.trials import thread_counts

log = logging.getLogger(__name__)

CPU_MATTERS_SHARE = 0.25  # of the weights, a rule of thumb: below it, GPUs decide the speed
# A rule of thumb without another source: below it the difference may be noise, and the planned count stays.
MIN_SPEEDUP = 1.1


@dataclass(frozen=True, slots=True)
class Measured:
    """``stalled_share``: of the count that waited least. More threads than CPUs wait for each other, on an
    idle machine, too."""

    rates: dict[int, float]
    stalled_share: float | None


async def with_tuned_threads(
    app: App, launch: Launch, plan: Plan, caps: Capabilities, machine: Hardware
) -> Plan:
    """``plan`` with the thread count that is fastest here; unchanged if an engine of the trial fails: if the
    real start fails too, it reports why."""
    flags, cpu = plan.flags, machine.cpu
    counts = thread_counts.candidate_counts(cpu.usable_cpus, cpu.quota_cpus, cpu.performance_cores)
    needless = _why_needless(launch, plan, counts)
    if not isinstance(flags, LlamaFlags) or needless:
        if launch.retune:
            launch.say(Step.TUNE, f"no thread counts to try: {needless}")
        launch.retune = False
        return plan
    basis = TrialBasis.of(caps, cpu)
    known = await _recall(app, plan, caps, cpu)
    asked, launch.retune = launch.retune, False
    recovering = launch.attempts.failures > 0
    again = None
    if known is not None:
        busy = known.was_busy and is_busy(await _last_minute_share(app))
        again = known.why_again(basis, asked=asked, recovering=recovering, is_busy=busy)
    if known is not None and again is None:
        launch.reuse("the measured thread count")
        return with_threads(plan, flags, known.best)
    await app.in_flight.begin(launch.key, f"trying thread counts of {launch.name}", keeps_turn=False)
    launch.apply(Event.START)
    why = f" again: {again}" if again else ""
    launch.say(Step.TUNE, f"trying {', '.join(str(count) for count in counts)} threads{why}")
    try:
        async with app.measuring_lock:
            measured = await _measure(app, launch, plan, flags, caps, counts)
    except EngineError as error:
        if launch.engine is not None:  # it can't be killed: no other engine may start
            raise
        log.warning("threads not tried: launch=%s %s", launch.name, error.in_full)
        stay = f"{flags.threads} threads are" if flags.threads else "the default thread count is"
        launch.say(Step.TUNE, f"the trial failed, {stay} used: {error.in_full}")
        return plan
    if not measured.rates:
        return plan
    best = choose_count(measured.rates, flags.threads)
    await _keep(app, launch, plan, best, measured, basis)
    if not is_busy(measured.stalled_share):
        await app.store.record(cpu_key(cpu), best)
    return with_threads(plan, flags, best)


async def _recall(app: App, plan: Plan, caps: Capabilities, cpu: Cpu) -> ThreadTrial | None:
    known = await app.store.recall(ThreadTrial, trial_key(plan.weights))
    return known or await app.store.recall(ThreadTrial, threads_key(plan, caps, cpu))


async def _last_minute_share(app: App) -> float | None:
    pressure = await asyncio.to_thread(app.adapters.cpu_pressure)
    return None if pressure is None else pressure.last_minute_share


def _why_needless(launch: Launch, plan: Plan, counts: Sequence[int]) -> str | None:
    if not isinstance(plan.flags, LlamaFlags):
        return f"{plan.engine} chooses its own"
    if plan.weights.kind.is_pooled:
        return "the model generates no tokens, and a trial measures those"
    if launch.request.options.threads:
        return f"{launch.request.options.threads} was asked for"
    if not cpu_matters(plan):
        return "the GPUs compute nearly all of it"
    return "one thread is all that this CPU allows" if len(counts) < 2 else None


async def _keep(
    app: App, launch: Launch, plan: Plan, best: int, measured: Measured, basis: TrialBasis
) -> None:
    """Tells what was measured, stores it, and leaves an event."""
    rates = ", ".join(f"{count}: {rate:.0f} tokens/s" for count, rate in measured.rates.items())
    found = f"using {best} {'thread' if best == 1 else 'threads'} ({rates})"
    note = busy_note(measured.stalled_share)
    launch.say(Step.TUNE, found)
    if note:
        launch.say(Step.TUNE, note)
    stored_rates = {str(count): rate for count, rate in measured.rates.items()}
    trial = ThreadTrial(best, stored_rates, basis, measured.stalled_share)
    await app.store.record(trial_key(plan.weights), trial)
    message = "; ".join(part for part in (f"{launch.name} is {found}", note) if part)
    await app.events.append(EventKind.TUNED, message, launch=launch.name)


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
) -> Measured:
    launcher = app.adapters.launchers[plan.engine]
    port = await choose_port(app, launch)
    shares: list[float] = []

    @asynccontextmanager
    async def serve(count: int) -> AsyncIterator[EngineProcess]:
        """If it is cancelled, the supervisor ends its engine, as for any start."""
        tried = with_threads(plan, flags, count)
        command = launcher.command(tried, caps=caps, port=port, name=f"{launch.name}-tune")
        try:
            await start_engine(app, launch, tried, command, engine_version=caps.version, trial=True)
            if launch.process is not None:
                before = await asyncio.to_thread(app.adapters.cpu_pressure)
                yield launch.process
                after = await asyncio.to_thread(app.adapters.cpu_pressure)
                share = after.stalled_share(before) if before and after else None
                shares.extend(() if share is None else (share,))
        finally:
            await end_trial(app, launch)

    rates = await thread_counts.measure(serve, counts)
    return Measured(rates, min(shares, default=None))
