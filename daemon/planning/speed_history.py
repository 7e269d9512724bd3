"""Measured speeds and thread counts of this machine: stored, and handed to the planner as a Calibration."""

import asyncio
import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

from catalog.formats.gguf.reader import read_file
from daemon.app import App
from daemon.state.store import Store
from domain.errors import BadModelError, EngineError, StateError
from domain.hardware import Cpu, Hardware
from domain.model import Weights
from domain.plan import LLAMA_CPP, LlamaFlags, Plan
from launchers.base import Capabilities
from launchers.readiness import Ready
from planner.llama_cpp.estimate import estimate
from planner.llama_cpp.speed.comparison import compare_run
from planner.machine.calibration import Calibration, Run

log = logging.getLogger(__name__)

MAX_RUNS = 64  # of one machine and engine build


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
        shape = await asyncio.to_thread(read_file, Path(path))
    except (BadModelError, OSError):
        return plan
    estimated = await asyncio.to_thread(estimate, shape, plan.flags, machine, calibration=calibration)
    return replace(plan, speed=estimated.speed)


async def record_speed(app: App, plan: Plan, ready: Ready, caps: Capabilities) -> None:
    """Stores how fast ``plan`` is, as a factor of its uncorrected prediction. Never fails."""
    machine, path = app.hardware_cache.hardware, plan.weights.first_path
    if machine is None or path is None or not isinstance(plan.flags, LlamaFlags) or not ready.prompt_tokens:
        return
    if plan.flags.speculative or plan.flags.draft_model:
        return  # the speed of speculative decoding depends on the prompt
    try:
        await asyncio.to_thread(_store_speed, app, plan, plan.flags, ready, caps, machine, Path(path))
    except (BadModelError, OSError, StateError) as error:
        log.warning("speed not stored: model=%s %s", plan.model, error)


def _store_speed(
    app: App,
    plan: Plan,
    flags: LlamaFlags,
    ready: Ready,
    caps: Capabilities,
    machine: Hardware,
    path: Path,
) -> None:
    run = compare_run(
        read_file(path),
        flags,
        machine,
        prompt_tokens=ready.prompt_tokens or 0,
        decode_tokens_per_s=ready.decode_tokens_per_s,
        prefill_tokens_per_s=ready.prefill_tokens_per_s,
    )
    key = speed_key(machine, caps)
    app.store.measurements.put(key, (*runs(app.store, key), run)[-MAX_RUNS:])
    log.info(
        "speed stored: model=%s kind=%s decode=%s prefill=%s", plan.model, run.kind, run.decode, run.prefill
    )


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


def threads_key(plan: Plan, caps: Capabilities, cpu: Cpu) -> str:
    """Identifies the engine build, the model's files, and the CPU: earlier versions stored trials there."""
    return f"{cpu_key(cpu)}:{_digest([[caps.path, caps.version], _files(plan.weights)])}"


def _files(weights: Weights) -> list[object]:
    files = [(file.name, file.size_bytes, file.sha256) for file in weights.files]
    return [weights.repo, weights.quant, files]


def _digest(inputs: list[object]) -> str:
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]
