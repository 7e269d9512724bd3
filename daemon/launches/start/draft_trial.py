"""Measures whether a planned draft pays, with the real engine and model, at the first start."""

import logging
from dataclasses import replace

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.launches.start.engine import choose_port, end_trial, start_engine
from daemon.launches.start.placement import PlacedPlan
from daemon.launches.state_machine import Event
from daemon.planning.draft_history import DraftTrial
from daemon.planning.speed_history import draft_key
from domain.errors import EngineError
from domain.events import EventKind
from domain.launches.launch import Step
from domain.launches.plan import LlamaFlags, Plan
from launchers.base import Capabilities
from launchers.trials import thread_counts
from planner.llama_cpp.companions import second_files

log = logging.getLogger(__name__)


async def draft_pays(app: App, launch: Launch, plan: Plan, placed: PlacedPlan) -> bool:
    """Whether ``plan`` stands: it drafts nothing, or that gains a tenth, by an earlier trial or one now. True
    also where the trial fails: if the real start fails too, it reports why."""
    flags, caps = plan.flags, placed.caps
    if not isinstance(flags, LlamaFlags) or not flags.speculative:
        return True
    key = draft_key(plan.weights, placed.machine, caps)
    known = await app.store.recall(DraftTrial, key)
    if known is not None:
        launch.reuse("the measured gain of its draft")
        return known.pays
    what = flags.draft_model or second_files.HEAD_IN_WORDS
    await app.in_flight.begin(launch.key, f"trying the draft of {launch.name}", keeps_turn=False)
    launch.apply(Event.START)
    launch.say(Step.TUNE, f"measuring whether drafting with {what} gains a tenth")
    plain = replace(plan, flags=second_files.without_draft(flags))
    try:
        async with app.measuring_lock:
            drafted_rate = await _rate(app, launch, plan, caps)
            plain_rate = await _rate(app, launch, plain, caps)
    except EngineError as error:
        if launch.engine is not None:  # it can't be killed: no other engine may start
            raise
        log.warning("draft not tried: launch=%s %s", launch.name, error.in_full)
        launch.say(Step.TUNE, f"the trial failed: {error.in_full}")
        return True
    if not drafted_rate or not plain_rate:
        return True
    trial = DraftTrial(what, plain_rate, drafted_rate)
    await app.store.record(key, trial)
    found = f"{trial.summary}: {'kept' if trial.pays else 'dropped'}"
    launch.say(Step.TUNE, found)
    await app.events.append(EventKind.TUNED, f"{launch.name}: {found}", launch=launch.name)
    return trial.pays


async def _rate(app: App, launch: Launch, plan: Plan, caps: Capabilities) -> float | None:
    """Tokens a second of one engine. If it is cancelled, the supervisor ends its engine, as for any start."""
    port = await choose_port(app, launch)
    command = app.adapters.launchers[plan.engine].command(
        plan, caps=caps, port=port, name=f"{launch.name}-tune"
    )
    try:
        await start_engine(app, launch, plan, command, engine_version=caps.version, trial=True)
        process = launch.process
        return None if process is None else await thread_counts.measure_rate(process)
    finally:
        await end_trial(app, launch)
