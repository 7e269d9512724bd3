"""The memory and speed of one exact command line."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from catalog.formats.gguf.reader import read_file
from daemon.app import App
from daemon.machine import snapshot
from daemon.planning.plan import margins, resolve_models, total_memory_bytes
from daemon.planning.speed_history import load_calibration
from daemon.resources import ledger
from domain.errors import DoesNotFitError, UsageError
from domain.hardware import Gpu, Hardware, MemoryKind
from domain.model import ModelShape, ResolvedModel
from domain.plan import LLAMA_CPP, VLLM, Estimate, LaunchOptions, LlamaFlags, VllmFlags
from planner.choose import choose
from planner.llama_cpp import estimate as arithmetic
from planner.llama_cpp.context_params import EngineTool, resolve
from planner.machine.calibration import Calibration
from planner.model import hparams
from planner.vllm import estimate as vllm

MAX_GPUS = 64


async def estimate(
    app: App,
    model: str,
    args: Sequence[str],
    *,
    on: Hardware | None = None,
    gpus: int | None = None,
    depth_tokens: int = 0,
    engine: str | None = None,
) -> Estimate:
    """The memory and speed of ``args``, read as the engine reads them.

    ``gpus`` replaces the machine's GPUs by that many dedicated ones of unknown size; the figures are then
    those that a current llama-fit-params prints. Raises: UsageError for arguments that the engine refuses."""
    machine = on or ledger.without(
        await snapshot.probe_now(app), app.ledger.reservations_of_others("").device_bytes
    )
    calibration = Calibration() if on else await load_calibration(app, machine)
    candidates = await resolve_models(
        app, model, LaunchOptions(engine=engine), (), most_bytes=total_memory_bytes(machine)
    )
    candidate, why = await asyncio.to_thread(choose_quant, app, model, candidates, machine, calibration)
    flags = parse_args(app, candidate.engine, args, is_explicit=engine is not None)
    if gpus is not None:
        machine = with_gpus(machine, gpus)
    check(candidate, flags, machine, depth_tokens)
    if isinstance(flags, VllmFlags):
        result = await asyncio.to_thread(
            vllm.estimate,
            candidate.shape,
            flags,
            machine,
            quant=candidate.weights.quant,
            depth_tokens=depth_tokens,
        )
    else:
        result = await asyncio.to_thread(
            arithmetic.estimate,
            candidate.shape,
            flags,
            machine,
            depth_tokens=depth_tokens,
            calibration=calibration,
            tool=EngineTool.SERVER if gpus is None else EngineTool.FIT_PARAMS,
            mmproj=await read_second_model("--mmproj", flags.mmproj),
            draft=await read_second_model("--model-draft", flags.draft_model),
        )
    notes = [f"estimate of {candidate.weights.repo} {candidate.weights.quant}{why}"]
    if not candidate.exact:
        notes.append("the shape is from the catalogue: the header of the file could not be read")
    notes += context_notes(candidate, flags)
    if candidate.as_of:
        notes.append(f"the hub could not be reached: estimated from its listing of {candidate.as_of}")
    return replace(result, notes=(*result.notes, *notes))


def check(
    candidate: ResolvedModel, flags: LlamaFlags | VllmFlags, machine: Hardware, depth_tokens: int
) -> None:
    """Raises: UsageError for a GPU that does not exist or a depth beyond the context."""
    if isinstance(flags, VllmFlags):
        return
    if flags.split_mode == "none" and (flags.main_gpu or 0) >= max(1, len(machine.gpus)):
        raise UsageError(
            f"--main-gpu {flags.main_gpu} does not exist: {len(machine.gpus)} GPUs, numbered from 0"
        )
    most = resolve(flags, hparams.read_hparams(candidate.shape)).context_per_sequence
    if depth_tokens > most:
        raise UsageError(
            f"--depth {depth_tokens} is more than the context: each sequence has {most} tokens",
            hint=f"give --depth {most} or less, or a larger -c",
        )


def context_notes(candidate: ResolvedModel, flags: LlamaFlags | VllmFlags) -> tuple[str, ...]:
    """A note on a context that is longer than the model was trained for: llama.cpp accepts it, vLLM does not.
    Empty if the header has no trained length."""
    trained = candidate.shape.get("context_length")
    if isinstance(flags, VllmFlags) or not flags.context_tokens or not isinstance(trained, int):
        return ()
    resolved = resolve(flags, hparams.read_hparams(candidate.shape))
    per_sequence = min(flags.context_tokens, resolved.context_per_sequence)
    if per_sequence <= trained:
        return ()
    return (
        f"the model was trained for a context of {trained} tokens, and each sequence gets {per_sequence}",
    )


async def read_second_model(option: str, path: str | None) -> ModelShape | None:
    """The shape of the model in another file of the command line. Raises: UsageError if it does not exist."""
    if path is None:
        return None
    file = Path(path)
    if not file.is_absolute() or not await asyncio.to_thread(file.is_file):
        raise UsageError(f"{option} {path}: there is no such file", hint="give its absolute path")
    return await asyncio.to_thread(read_file, file)


def choose_quant(
    app: App, model: str, candidates: Sequence[ResolvedModel], machine: Hardware, calibration: Calibration
) -> tuple[ResolvedModel, str]:
    """The candidate that a plan would choose, and why in words; of those on this disk if there are any. The
    smallest if none fits. Blocks."""
    on_disk = [candidate for candidate in candidates if candidate.weights.location is not None]
    pool = on_disk or list(candidates)
    if len(pool) == 1:
        return pool[0], ", which is on this disk" if on_disk and len(candidates) > 1 else ""
    by_quant = f"; {model}:QUANT selects another" if ":" not in model else ""
    try:
        plan = choose.plan(
            model, pool, machine, LaunchOptions(), calibration=calibration, reserve=margins(app)
        )
    except DoesNotFitError:
        return min(
            pool, key=lambda one: one.weights.size_bytes
        ), f", the smallest, because no plan fits{by_quant}"
    choice = next(candidate for candidate in pool if candidate.weights == plan.weights)
    return choice, f", which a plan would choose{by_quant}"


def parse_args(app: App, engine: str, args: Sequence[str], *, is_explicit: bool) -> LlamaFlags | VllmFlags:
    """Raises: UsageError; its hint names the other engine if ``args`` are options of that one."""
    try:
        return app.adapters.launchers[engine].parse(args)
    except UsageError as error:
        other = VLLM if engine == LLAMA_CPP else LLAMA_CPP
        with suppress(UsageError):
            app.adapters.launchers[other].parse(args)
            if not is_explicit:
                error.hint = f"these are options of {other}: add --engine {other}"
        raise


def with_gpus(machine: Hardware, count: int) -> Hardware:
    """``machine`` with ``count`` GPUs of unknown size and no installed engine: a current build is assumed.
    Raises: UsageError for more than MAX_GPUS."""
    if not 0 <= count <= MAX_GPUS:
        raise UsageError(f"{count} GPUs were given; between 0 and {MAX_GPUS} are supported")
    gpu = Gpu(id="", vendor="", name="a GPU of unknown size", memory_kind=MemoryKind.DEDICATED)
    assumed = tuple(replace(gpu, id=f"assumed:{index}") for index in range(count))
    return replace(machine, gpus=assumed, engines=())
