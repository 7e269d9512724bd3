"""A plan that the engine agrees with: asked on a replica before the download, read back after a start.

A check that can't run changes nothing but what the plan says of itself.
"""

import asyncio
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.app import App
from daemon.planning import reconcile
from daemon.planning.reconcile import CheckedFlags, Differences, PlanHistory
from domain.errors import BadModelError, DownloadError, EngineError, UsageError
from domain.hardware import Hardware
from domain.model import ModelShape, ResolvedModel, Weights
from domain.plan import Confidence, LlamaFlags, Plan
from launchers.base import Capabilities
from launchers.llama_cpp.dry_run import FIT_PARAMS, DeviceUsage, DryRunReport
from launchers.process.engine import EngineProcess
from planner.llama_cpp.context_params import EngineTool
from planner.llama_cpp.estimate import memory_layout

log = logging.getLogger(__name__)

HEADER_WITHIN_S = 10.0
RETRY_S = 600.0


@dataclass(frozen=True, slots=True)
class Question:
    """What one build would take for one command line."""

    weights: Weights
    flags: LlamaFlags
    candidates: Sequence[ResolvedModel]
    caps: Capabilities
    machine: Hardware

    @property
    def key(self) -> str:
        files = ",".join(file.name for file in self.weights.files)
        return f"{self.caps.path} {self.weights.repo} {files} {reconcile.digest(self.flags)}"


async def verify_plan(app: App, plan: Plan, candidates: Sequence[ResolvedModel], machine: Hardware) -> Plan:
    """``plan`` with what its engine says, or once took, of this very command line. Never fails."""
    if not isinstance(plan.flags, LlamaFlags):
        return plan
    try:
        caps = await asyncio.to_thread(app.adapters.engine, plan.engine)
    except EngineError as error:
        return with_reason(plan, f"not checked by the engine: {error}")
    key = reconcile.fact_key(plan, caps, machine)
    async with app.verification_locks.of(key):
        known = await app.store.recall(PlanHistory, key) or PlanHistory()
        found = known.of(plan.flags)
        if found is None:
            question = Question(plan.weights, plan.flags, candidates, caps, machine)
            try:
                differences = await asyncio.to_thread(ask, app, question)
            except (EngineError, DownloadError, BadModelError, UsageError) as error:
                log.info("plan not checked: model=%s why=%s", plan.model, error)
                return unchecked(plan, known.nearest(plan.flags), machine, str(error))
            found = CheckedFlags(reconcile.digest(plan.flags), Confidence.ENGINE_CHECKED, differences)
            await app.store.record(key, known.adding(found))
    done = reconcile.corrected(plan, found.differences, machine)
    said = f"{_how(found.how, caps)}: {reconcile.summary(found.differences)}"
    return with_reason(replace(done, confidence=found.how), said)


def unchecked(plan: Plan, near: Differences, machine: Hardware, why: str) -> Plan:
    """With ``near``, what this build said of another command line of this model, if it ever did."""
    said = f"not checked by the engine: {why}"
    if not any(one.more_bytes for one in near):
        return with_reason(plan, said)
    return with_reason(reconcile.corrected(plan, near, machine), f"{said}; corrected by what it said before")


async def read_back(app: App, plan: Plan, caps: Capabilities, process: EngineProcess) -> Plan:
    """``plan`` with what its engine, which serves now, took by the log of its start: kept for later
    plans. Unchanged where the log does not say."""
    machine = app.hardware_cache.hardware
    if machine is None or not isinstance(plan.flags, LlamaFlags):
        return plan
    held = await _allocated(app, process)
    more = reconcile.differences(plan.memory, held) if held else None
    if more is None:
        return plan
    key = reconcile.fact_key(plan, caps, machine)
    async with app.verification_locks.of(key):
        known = await app.store.recall(PlanHistory, key) or PlanHistory()
        differences = reconcile.accumulated(known.nearest(plan.flags), more)  # the plan has the first of them
        found = CheckedFlags(reconcile.digest(plan.flags), Confidence.MEASURED, differences)
        await app.store.record(key, known.adding(found))
    log.info("memory read back: model=%s %s", plan.model, reconcile.summary(differences))
    done = reconcile.corrected(plan, more, machine)
    return replace(done, confidence=Confidence.MEASURED, fits=plan.fits)


def ask(app: App, question: Question) -> Differences:
    """Raises: EngineError, DownloadError, BadModelError, UsageError. A failure holds for a while, so
    that a build that hangs is not waited for with every plan. Blocks."""
    shape = next((one.shape for one in question.candidates if _is_exact(one, question.weights)), None)
    if shape is None:
        raise DownloadError("the file's own header can't be read yet")
    if app.settings.offline and question.weights.location is None:
        raise DownloadError("the header is not on this disk, and offline is set")
    when_s, why = app.hardware_cache.unanswered.get(question.key, (0.0, ""))
    if why and time.monotonic() - when_s < RETRY_S:
        raise EngineError(why)
    try:
        return _compared(_told(app, question), shape, question)
    except (EngineError, DownloadError, BadModelError, UsageError) as error:
        app.hardware_cache.unanswered[question.key] = (time.monotonic(), str(error))
        raise


def _is_exact(candidate: ResolvedModel, weights: Weights) -> bool:
    return candidate.exact and candidate.weights == weights


def _told(app: App, question: Question) -> DryRunReport:
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="node-daemon-", ignore_cleanup_errors=True) as folder:
            replica = app.adapters.replica(question.weights, Path(folder), HEADER_WITHIN_S)
            told = app.adapters.ask_memory(question.flags, question.caps, replica)
    except OSError as error:
        raise EngineError(f"no place for a replica: {error.strerror}") from error
    log.info("asked on a replica: engine=%s after_s=%.3f", told.program, time.monotonic() - began)
    return told


def _compared(told: DryRunReport, shape: ModelShape, question: Question) -> Differences:
    """With what the rules say of the program that told: it reserves less than the server that runs."""
    tool = EngineTool.FIT_PARAMS if told.program == FIT_PARAMS else EngineTool.DRY_RUN
    rules = memory_layout(shape, question.flags, question.machine, tool=tool).memory
    found = reconcile.differences(rules, told.devices)
    if found is None:
        seen = ", ".join(one.name for one in told.devices if one.is_device) or "none"
        raise EngineError(f"it sees other devices than the plan has: {seen}")
    return found


async def _allocated(app: App, process: EngineProcess) -> tuple[DeviceUsage, ...]:
    try:
        return app.adapters.read_memory(await process.log_head())
    except OSError as error:
        log.warning("the log of a start can't be read: file=%s %s", process.log_path, error)
        return ()


def _how(how: Confidence, caps: Capabilities) -> str:
    engine = f"{Path(caps.path).name} {caps.version or ''}".rstrip()
    return (
        f"measured when {engine} ran it"
        if how is Confidence.MEASURED
        else f"checked by {engine} on a replica"
    )


def with_reason(plan: Plan, reason: str) -> Plan:
    return replace(plan, reasons=(*plan.reasons, reason))
