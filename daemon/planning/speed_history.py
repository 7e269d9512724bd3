"""What was measured on this machine, kept as facts, handed to the planner."""

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
from domain.plan import LLAMA_CPP, LlamaFlags, Plan
from launchers.base import Capabilities
from launchers.readiness import Ready
from planner.llama_cpp.estimate import estimate
from planner.llama_cpp.speed.comparison import compare_run
from planner.machine.calibration import Calibration, Run

log = logging.getLogger(__name__)

REMEMBERED = 64  # runs of one box and engine build


async def calibration(app: App, machine: Hardware) -> Calibration:
    """The thread count that was fastest for the last model measured here, the best guess for the next;
    and how fast models were that ran here with this engine build."""
    return await asyncio.to_thread(_calibration, app, machine)


def _calibration(app: App, machine: Hardware) -> Calibration:
    threads = app.store.measurements.get(int, box_key(machine.cpu))
    try:
        caps = app.adapters.engine(LLAMA_CPP)
    except EngineError:  # a plan is an answer also before there is an engine
        return Calibration(threads=threads)
    return Calibration(threads=threads, runs=runs(app.store, speed_key(machine, caps)))


async def with_speed(app: App, plan: Plan, machine: Hardware) -> Plan:
    """A plan of an earlier start with the speed that is expected by now; as it is where its file can't be
    read, which its start will tell."""
    path = plan.weights.first_path
    if path is None or not isinstance(plan.flags, LlamaFlags):
        return plan
    known = await calibration(app, machine)
    try:
        shape = await asyncio.to_thread(read_file, Path(path))
    except (BadModelError, OSError):
        return plan
    found = await asyncio.to_thread(estimate, shape, plan.flags, machine, calibration=known)
    return replace(plan, speed=found.speed)


async def record_speed(app: App, plan: Plan, ready: Ready, caps: Capabilities) -> None:
    """Writes down how fast ``plan`` is, beside what the rules alone say of it. Never fails."""
    machine, path = app.hardware_cache.hardware, plan.weights.first_path
    if machine is None or path is None or not isinstance(plan.flags, LlamaFlags) or not ready.prompt_tokens:
        return
    if plan.flags.speculative or plan.flags.draft_model:
        return  # its speed depends on what is asked
    try:
        await asyncio.to_thread(_keep_speed, app, plan, plan.flags, ready, caps, machine, Path(path))
    except (BadModelError, OSError, StateError) as error:
        log.warning("speed is not kept: model=%s %s", plan.model, error)


def _keep_speed(
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
    app.store.measurements.put(key, (*runs(app.store, key), run)[-REMEMBERED:])
    log.info(
        "speed kept: model=%s kind=%s decode=%s prefill=%s", plan.model, run.kind, run.decode, run.prefill
    )


def runs(store: Store, key: str) -> tuple[Run, ...]:
    """The latest last. Blocks."""
    return store.measurements.get(tuple[Run, ...], key) or ()


def speed_key(machine: Hardware, caps: Capabilities) -> str:
    """Of the devices, of what this process may use of the CPU, and of the engine build."""
    gpus = [(gpu.id, gpu.name, gpu.memory_total_bytes) for gpu in machine.gpus]
    return f"speed:{_digest([gpus, box_key(machine.cpu), caps.path, caps.version])}"


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
