"""Measured speeds and thread counts of this machine: stored, and handed to the planner as a Calibration."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from daemon.app import App
from daemon.planning.computations import STARTING, compare_file, predict_speed
from daemon.state.store import Store
from domain.errors import BadModelError, EngineError, StateError
from domain.launches.plan import LLAMA_CPP, LlamaFlags, Plan
from domain.launches.proof import DepthFigures
from domain.machine.hardware import Cpu, Hardware
from domain.models.model import Weights
from domain.serialization import to_json
from launchers.base import Capabilities
from launchers.readiness import Ready
from planner.machine.calibration import Calibration, Run

log = logging.getLogger(__name__)

MAX_RUNS = 64  # of one machine and engine build
BUSY_SHARE = 0.25  # an engine's own threads, as many as there are CPUs, wait for each other for less


async def load_calibration(app: App, machine: Hardware) -> Calibration:
    """The thread count that was fastest for the last model measured on this CPU, and the speeds of the models
    that ran on this machine with the installed build of llama.cpp."""
    return await asyncio.to_thread(_load_calibration, app, machine)


def _load_calibration(app: App, machine: Hardware) -> Calibration:
    threads = app.store.measurements.get(int, cpu_key(machine.cpu))
    try:
        caps = app.adapters.engine(LLAMA_CPP)
    except EngineError:  # a plan needs no installed engine
        return Calibration(threads=threads)
    return Calibration(threads=threads, runs=runs(app.store, speed_key(machine, caps)))


async def with_speed(app: App, plan: Plan, machine: Hardware) -> Plan:
    """A plan of an earlier start with the speed that is predicted now; unchanged if its file can't be read,
    which the start then reports."""
    path = plan.weights.first_path
    if path is None or not isinstance(plan.flags, LlamaFlags):
        return plan
    calibration = await load_calibration(app, machine)
    try:
        speed = await app.adapters.workers.run(
            f"predicting the speed of {plan.model}",
            predict_speed,
            Path(path),
            plan.flags,
            machine,
            calibration,
            limits=STARTING,
        )
    except (BadModelError, OSError):
        return plan
    return replace(plan, speed=speed)


async def record_speed(
    app: App, plan: Plan, ready: Ready, caps: Capabilities, *, stalled_share: float | None = None
) -> None:
    """Stores how fast ``plan`` is, as a factor of its uncorrected prediction. ``stalled_share`` is the part
    of its start in which tasks waited for a CPU. Never fails."""
    if ready.prompt_tokens:
        rates = (ready.prompt_tokens, ready.decode_tokens_per_s, ready.prefill_tokens_per_s)
        await _record(app, plan, caps, 0, *rates, busy=(stalled_share or 0) >= BUSY_SHARE)


async def record_depths(app: App, plan: Plan, figures: Sequence[DepthFigures], caps: Capabilities) -> None:
    """As ``record_speed``, for each depth of a context: between two of them its tokens were read."""
    before_tokens = 0
    for found in figures:
        count = found.depth_tokens - before_tokens
        rates = (count, found.decode_tokens_per_s, found.prefill_tokens_per_s)
        await _record(app, plan, caps, before_tokens, *rates)
        before_tokens = found.depth_tokens


async def _record(
    app: App,
    plan: Plan,
    caps: Capabilities,
    depth_tokens: int,
    prompt_tokens: int,
    decode_tokens_per_s: float | None,
    prefill_tokens_per_s: float | None,
    *,
    busy: bool = False,
) -> None:
    machine, path = app.hardware_cache.hardware, plan.weights.first_path
    if machine is None or path is None or not isinstance(plan.flags, LlamaFlags):
        return
    if plan.flags.speculative or plan.flags.draft_model:
        return  # the speed of speculative decoding depends on the prompt
    if plan.weights.kind.is_pooled:
        return  # by the clock of one short text: of a small model it is the time of a request
    compare = partial(
        compare_file,
        prompt_tokens=prompt_tokens,
        decode_tokens_per_s=decode_tokens_per_s,
        prefill_tokens_per_s=prefill_tokens_per_s,
        depth_tokens=depth_tokens,
    )
    what = f"comparing the speed of {plan.model} with its prediction"
    try:
        run = await app.adapters.workers.run(what, compare, Path(path), plan.flags, machine, limits=STARTING)
        run = replace(run, busy=busy)
        await app.store.run(_store_run, app.store, speed_key(machine, caps), run)
    except (BadModelError, OSError, StateError) as error:
        log.warning("speed not stored: model=%s %s", plan.model, error)


def _store_run(store: Store, key: str, run: Run) -> None:
    store.measurements.put(key, (*runs(store, key), run)[-MAX_RUNS:])
    log.info("speed stored: kind=%s decode=%s prefill=%s", run.kind, run.decode, run.prefill)


def runs(store: Store, key: str) -> tuple[Run, ...]:
    """The stored runs, the latest last. Blocks."""
    return store.measurements.get(tuple[Run, ...], key) or ()


def speed_key(machine: Hardware, caps: Capabilities) -> str:
    """Identifies the devices, the CPUs that this process may use, and the engine build."""
    gpus = [(gpu.id, gpu.name, gpu.memory_total_bytes) for gpu in machine.gpus]
    return f"speed:{_digest([gpus, cpu_key(machine.cpu), caps.path, caps.version])}"


def cpu_key(cpu: Cpu) -> str:
    """Identifies the CPU model and the CPUs that this process may use."""
    return f"threads:{_digest([cpu.model, cpu.usable_cpus, cpu.quota_cpus])}"


def trial_key(weights: Weights) -> str:
    """Identifies the model's files. What else a trial of thread counts rests on is stored with it."""
    return f"trial:{_digest([_files(weights)])}"


def draft_key(weights: Weights, machine: Hardware, caps: Capabilities) -> str:
    """Identifies the model's files, and devices, CPUs and engine build as ``speed_key`` does."""
    return f"draft:{_digest([_files(weights), speed_key(machine, caps)])}"


def pace_key(plan: Plan) -> str:
    """Identifies the model's files, the binary and its options."""
    return f"pace:{_digest([_files(plan.weights), plan.argv[:1], to_json(plan.flags)])}"


def threads_key(plan: Plan, caps: Capabilities, cpu: Cpu) -> str:
    """Identifies the engine build, the model's files, and the CPU: earlier versions stored trials there."""
    return f"{cpu_key(cpu)}:{_digest([[caps.path, caps.version], _files(plan.weights)])}"


def _files(weights: Weights) -> list[object]:
    files = [(file.name, file.size_bytes, file.sha256) for file in weights.files]
    return [weights.repo, weights.quant, files]


def _digest(inputs: list[object]) -> str:
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]
