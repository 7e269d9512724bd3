"""Checks a plan's memory with its engine: by a dry run before the download, from the log after a start.

The dry run is of a replica: the model's true header in a sparse file without weights. A check that can't run
leaves the figures of a plan alone and adds the reason to it.
"""

import asyncio
import copy
import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from catalog.local import layout
from daemon.app import App
from daemon.planning import reconcile
from daemon.planning.builds import engine_of
from daemon.planning.computations import PLANNING, estimate_memory
from daemon.planning.reconcile import CheckedFlags, Differences, PlanHistory
from daemon.resources import ledger
from domain.errors import BadModelError, DownloadError, EngineError, EngineRefusedError, UsageError
from domain.launches.plan import Confidence, DeviceMemory, LlamaFlags, Plan
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel, Weights
from domain.units import gib
from launchers.base import Capabilities
from launchers.llama_cpp.dry_run import FIT_PARAMS, DeviceUsage, DryRunReport
from launchers.process.engine import EngineProcess
from planner.llama_cpp.companions import second_files as companions
from planner.llama_cpp.companions.second_files import Shapes
from planner.llama_cpp.context_params import EngineTool

log = logging.getLogger(__name__)

RETRY_S = 600.0
NOT_CHECKED = (EngineError, DownloadError, BadModelError, UsageError)


class SecondFileRefusedError(EngineError):
    """The engine loads the model, but not the file ``name`` beside it."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} is not used: {why}")
        self.name = name


@dataclass(frozen=True, slots=True)
class DryRun:
    """The command line that is checked, and all that its result depends on."""

    weights: Weights
    flags: LlamaFlags
    candidates: Sequence[ResolvedModel]
    caps: Capabilities
    machine: Hardware

    @property
    def key(self) -> str:
        files = ",".join(file.name for file in self.weights.files)
        build = f"{self.caps.path} {self.caps.version}"
        return f"{build} {self.weights.repo} {files} {reconcile.digest(self.flags)}"


async def verify_plan(app: App, plan: Plan, candidates: Sequence[ResolvedModel], machine: Hardware) -> Plan:
    """``plan`` with the memory that its engine reports for this command line, by a dry run or, if it ran
    before, as measured then. Raises: EngineRefusedError if the engine can't load the model,
    SecondFileRefusedError if it can't load a file beside it."""
    if not isinstance(plan.flags, LlamaFlags):
        return plan
    try:
        caps = await asyncio.to_thread(engine_of, app, plan)
    except EngineError as error:
        return with_reason(plan, f"not checked by the engine: {error}")
    key, flags = reconcile.history_key(plan, caps, machine), reconcile.digest(plan.flags)
    async with app.verification_locks.of(f"{key} {flags}"):  # read_back must not wait for a dry run
        history = await app.store.recall(PlanHistory, key) or PlanHistory()
        checked = history.get(plan.flags)
        if checked is None:
            dry_run = DryRun(plan.weights, plan.flags, candidates, caps, machine)
            try:
                differences, why_in_part = await _checked_as_far_as_it_goes(app, dry_run)
            except (EngineRefusedError, SecondFileRefusedError):
                raise
            except NOT_CHECKED as error:
                log.info("plan not checked: model=%s why=%s", plan.model, error)
                return unchecked(plan, history.nearest(plan.flags), machine, str(error))
            if why_in_part:
                return with_reason(reconcile.corrected(plan, differences, machine), why_in_part)
            checked = CheckedFlags(flags, Confidence.ENGINE_CHECKED, differences)
            async with app.verification_locks.of(key):
                history = await app.store.recall(PlanHistory, key) or PlanHistory()
                checked = history.get(plan.flags) or checked  # a start may have measured it meanwhile
                await app.store.record(key, history.adding(checked))
    corrected = reconcile.corrected(plan, checked.differences, machine)
    found = reconcile.summary(checked.differences)
    reason = f"weights, KV cache and buffers, {_describe(checked.how, caps)}: {found}"
    if any(difference.more_bytes for difference in checked.differences):
        reason += f"; needed in all: {needed(corrected)}"
    return with_reason(replace(corrected, confidence=checked.how), reason)


async def _checked_as_far_as_it_goes(app: App, dry_run: DryRun) -> tuple[Differences, str]:
    """Of the model with the files beside it that are used; of the model alone, and why, where that fails.

    Raises: SecondFileRefusedError; EngineRefusedError, and as NOT_CHECKED, for the model."""
    flags = dry_run.flags
    alone = of_model_alone(flags)
    try:
        return await run_dry(app, dry_run), ""
    except SecondFileRefusedError:
        raise
    except NOT_CHECKED as error:
        if alone == flags:
            raise
        failure = error
    differences = await run_dry(app, replace(dry_run, flags=alone))
    if isinstance(failure, EngineRefusedError) and flags.draft_model:
        raise SecondFileRefusedError(flags.draft_model, failure.engine_output or str(failure))
    names = " and ".join(filter(None, (flags.mmproj, flags.draft_model)))
    return differences, f"the model was checked by the engine without {names}: {failure}"


def of_model_alone(flags: LlamaFlags) -> LlamaFlags:
    """Without the files beside the model."""
    speculative = () if flags.draft_model else flags.speculative
    return replace(flags, mmproj=None, draft_model=None, speculative=speculative)


def unchecked(plan: Plan, near: Differences, machine: Hardware, why: str) -> Plan:
    """``plan`` corrected by ``near``: the differences of another command line of this model and build, empty
    where none was checked."""
    reason = f"not checked by the engine: {why}"
    if not any(difference.more_bytes for difference in near):
        return with_reason(plan, reason)
    return with_reason(
        reconcile.corrected(plan, near, machine),
        f"{reason}; corrected by its figures for another command line",
    )


async def read_back(app: App, plan: Plan, caps: Capabilities, process: EngineProcess) -> Plan:
    """``plan`` with the memory that its running engine allocated, by the log of its start; stored for later
    plans. Unchanged if the log does not report it."""
    machine = app.hardware_cache.hardware
    if machine is None or not isinstance(plan.flags, LlamaFlags):
        return plan
    allocated = await _allocated(app, process)
    since_plan = reconcile.differences(plan.memory, allocated) if allocated else None
    if since_plan is None:
        return plan
    key = reconcile.history_key(plan, caps, machine)
    async with app.verification_locks.of(key):
        history = await app.store.recall(PlanHistory, key) or PlanHistory()
        # the plan has been corrected by the former already, and history is relative to the estimate
        differences = reconcile.accumulated(history.nearest(plan.flags), since_plan)
        checked = CheckedFlags(reconcile.digest(plan.flags), Confidence.MEASURED, differences)
        await app.store.record(key, history.adding(checked))
    log.info("memory read back: model=%s %s", plan.model, reconcile.summary(differences))
    corrected = reconcile.corrected(plan, since_plan, machine)
    return replace(corrected, confidence=Confidence.MEASURED, fits=plan.fits)


async def run_dry(app: App, dry_run: DryRun) -> Differences:
    """A failure is repeated for RETRY_S without another run, so that not every plan waits for a build
    that hangs. Raises: EngineError, EngineRefusedError, DownloadError, BadModelError, UsageError."""
    exact = (model for model in dry_run.candidates if _is_exact(model, dry_run.weights))
    model = next(exact, None)
    if model is None:
        raise DownloadError("planned from the catalogue, without the file's header")
    if app.settings.offline and dry_run.weights.location is None:
        raise DownloadError("the header is not on this disk, and offline is set")
    failed_s, failure = app.hardware_cache.failed_dry_runs.get(dry_run.key, (0.0, None))
    if failure is not None and time.monotonic() - failed_s < RETRY_S:
        raise copy.copy(failure)
    try:
        return await _compared(app, await _reported(app, dry_run), model, dry_run)
    except NOT_CHECKED as error:
        said_no = isinstance(error, (EngineRefusedError, SecondFileRefusedError))
        failure = error if isinstance(error, EngineError) and said_no else EngineError(str(error))
        app.hardware_cache.failed_dry_runs[dry_run.key] = (time.monotonic(), failure)
        raise


def _is_exact(candidate: ResolvedModel, weights: Weights) -> bool:
    return candidate.exact and candidate.weights == weights


async def _reported(app: App, dry_run: DryRun) -> DryRunReport:
    began_s = time.monotonic()
    try:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="node-daemon-"))
        try:
            path = await app.adapters.write_replica(dry_run.weights, folder)
            flags = await _with_second_replicas(app, dry_run, folder)
            report = await asyncio.get_running_loop().run_in_executor(
                app.engine_threads, app.adapters.ask_memory, flags, dry_run.caps, path
            )
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    except OSError as error:
        raise EngineError(f"the model file for its dry run can't be written: {error.strerror}") from error
    log.info("dry run: engine=%s after_s=%.3f", report.program, time.monotonic() - began_s)
    return report


async def _with_second_replicas(app: App, dry_run: DryRun, folder: Path) -> LlamaFlags:
    """The flags with replicas of the files beside the model, each in a folder of its own."""
    flags, weights = dry_run.flags, dry_run.weights
    paths: dict[str, str] = {}
    for option, name in (("mmproj", flags.mmproj), ("draft_model", flags.draft_model)):
        if name is None:
            continue
        companion = next((one for one in weights.beside if one.file.name == name), None)
        if companion is None:
            raise DownloadError(f"{name} is not beside the model")
        file = Path(weights.location or "", name)
        is_here = await asyncio.to_thread(layout.is_whole, file, companion.file.size_bytes)
        alone = replace(weights, files=(companion.file,), location=weights.location if is_here else None)
        own = folder / option
        await asyncio.to_thread(own.mkdir)
        paths[option] = str(await app.adapters.write_replica(alone, own))
    return replace(flags, mmproj=paths.get("mmproj"), draft_model=paths.get("draft_model"))


async def _compared(app: App, report: DryRunReport, model: ResolvedModel, dry_run: DryRun) -> Differences:
    """With the estimate for the program that reported: it reserves less than the server that runs."""
    tool = EngineTool.FIT_PARAMS if report.program == FIT_PARAMS else EngineTool.DRY_RUN
    second = companions.shapes(model, dry_run.flags)

    async def estimated(second: Shapes) -> tuple[DeviceMemory, ...]:
        arguments = (model.shape, dry_run.flags, dry_run.machine, tool, second)
        return await app.adapters.workers.run(
            "estimating memory", estimate_memory, *arguments, limits=PLANNING
        )

    without = await estimated(Shapes(mmproj=None, draft=second["draft"]))
    differences = reconcile.differences(without, report.devices)
    if differences is None:
        devices = ", ".join(usage.name for usage in report.devices if usage.is_device) or "none"
        raise EngineError(f"it uses other devices than the plan: {devices}")
    if dry_run.flags.mmproj is None:
        return differences
    if report.refuses_projector:
        raise SecondFileRefusedError(dry_run.flags.mmproj, "the engine can't load this projector")
    if report.projector_bytes is None:
        raise EngineError("it does not say what a projector takes")
    return reconcile.with_projector(differences, without, await estimated(second), report.projector_bytes)


async def _allocated(app: App, process: EngineProcess) -> tuple[DeviceUsage, ...]:
    try:
        return app.adapters.read_memory(await process.log_head())
    except OSError as error:
        log.warning("the log of a start can't be read: file=%s %s", process.log_path, error)
        return ()


def _describe(how: Confidence, caps: Capabilities) -> str:
    engine = f"{Path(caps.path).name} {caps.version or ''}".rstrip()
    return (
        f"measured when {engine} ran this command line"
        if how is Confidence.MEASURED
        else f"checked by a dry run of {engine}"
    )


def needed(plan: Plan) -> str:
    return ", ".join(f"{row.device} {gib(row.needed_bytes)}" for row in plan.memory)


def with_reason(plan: Plan, reason: str) -> Plan:
    return replace(plan, reasons=(*plan.reasons, reason))


def with_free_memory_of(plan: Plan, reduced: Hardware, machine: Hardware) -> Plan:
    """``plan``, made for the ``reduced`` machine, with the free memory that ``machine`` has beyond that."""

    def row_of(row: DeviceMemory) -> DeviceMemory:
        before, after = ledger.free_bytes(machine, row.device), ledger.free_bytes(reduced, row.device)
        if row.free_bytes is None or before is None or after is None:
            return row
        return replace(row, free_bytes=row.free_bytes + before - after)

    return replace(plan, memory=tuple(row_of(row) for row in plan.memory))


def without_file(model: ResolvedModel, name: str) -> ResolvedModel:
    shapes = {other: shape for other, shape in model.companion_shapes.items() if other != name}
    return replace(model, companion_shapes=shapes)
