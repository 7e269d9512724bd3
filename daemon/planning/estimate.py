"""What one exact command line would take, and how fast it would be."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from catalog.formats.gguf.reader import read_file
from daemon.app import App
from daemon.machine import snapshot
from daemon.planning.plan import reserved, resolve_models, room_bytes
from daemon.planning.speed_history import calibration
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

MOST_GPUS = 64


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
    """Of ``args`` as the engine would take them. ``gpus`` replaces the machine's by as many dedicated
    ones without a stated size; the figures are then those that llama-fit-params of today prints.
    Raises: UsageError for arguments the engine would refuse."""
    machine = on or ledger.without(
        await snapshot.probe_now(app), app.ledger.reservations_beside("").device_bytes
    )
    known = Calibration() if on else await calibration(app, machine)
    candidates = await resolve_models(
        app, model, LaunchOptions(engine=engine), (), most_bytes=room_bytes(machine)
    )
    own, why = await asyncio.to_thread(chosen, app, model, candidates, machine, known)
    flags = parsed(app, own.engine, args, is_said=engine is not None)
    if gpus is not None:
        machine = with_gpus(machine, gpus)
    check(own, flags, machine, depth_tokens)
    if isinstance(flags, VllmFlags):
        found = await asyncio.to_thread(
            vllm.estimate, own.shape, flags, machine, quant=own.weights.quant, depth_tokens=depth_tokens
        )
    else:
        found = await asyncio.to_thread(
            arithmetic.estimate,
            own.shape,
            flags,
            machine,
            depth_tokens=depth_tokens,
            calibration=known,
            tool=EngineTool.SERVER if gpus is None else EngineTool.FIT_PARAMS,
            mmproj=await beside("--mmproj", flags.mmproj),
            draft=await beside("--model-draft", flags.draft_model),
        )
    notes = [f"estimate of {own.weights.repo} {own.weights.quant}{why}"]
    if not own.exact:
        notes.append("the shape is from the catalogue: the header of the file could not be read")
    notes += beyond(own, flags)
    if own.as_of:
        notes.append(f"the hub could not be reached: estimated from its listing of {own.as_of}")
    return replace(found, notes=(*found.notes, *notes))


def check(own: ResolvedModel, flags: LlamaFlags | VllmFlags, machine: Hardware, depth_tokens: int) -> None:
    """Raises: UsageError for a GPU that is not there or a depth that no sequence reaches."""
    if isinstance(flags, VllmFlags):
        return
    if flags.split_mode == "none" and (flags.main_gpu or 0) >= max(1, len(machine.gpus)):
        raise UsageError(
            f"--main-gpu {flags.main_gpu} does not exist: {len(machine.gpus)} GPUs, numbered from 0"
        )
    most = resolve(flags, hparams.read_hparams(own.shape)).context_per_sequence
    if depth_tokens > most:
        raise UsageError(
            f"--depth {depth_tokens} is more than the {most} tokens of context that each sequence has",
            hint=f"give --depth {most} or less, or a larger -c",
        )


def beyond(own: ResolvedModel, flags: LlamaFlags | VllmFlags) -> tuple[str, ...]:
    """Says of a context that was asked for that the model has never seen one as long. llama.cpp lays it
    out all the same; vLLM refuses it. Nothing where the header does not tell what it was trained for."""
    trained = own.shape.get("context_length")
    if isinstance(flags, VllmFlags) or not flags.context_tokens or not isinstance(trained, int):
        return ()
    resolved = resolve(flags, hparams.read_hparams(own.shape))
    per_sequence = min(flags.context_tokens, resolved.context_per_sequence)
    if per_sequence <= trained:
        return ()
    return (
        f"the model was trained for a context of {trained} tokens, and each sequence gets {per_sequence}",
    )


async def beside(option: str, path: str | None) -> ModelShape | None:
    """What a second file of the command line is made of. Raises: UsageError for one that is not there."""
    if path is None:
        return None
    file = Path(path)
    if not file.is_absolute() or not await asyncio.to_thread(file.is_file):
        raise UsageError(f"{option} {path}: there is no such file", hint="give its absolute path")
    return await asyncio.to_thread(read_file, file)


def chosen(
    app: App, model: str, candidates: Sequence[ResolvedModel], machine: Hardware, known: Calibration
) -> tuple[ResolvedModel, str]:
    """The only one, or the one that a plan would take: of those on this disk, where there are any; and why.
    Where none fits, the smallest. Blocks."""
    here = [one for one in candidates if one.weights.location is not None]
    pool = here or list(candidates)
    if len(pool) == 1:
        return pool[0], ", which is on this disk" if here and len(candidates) > 1 else ""
    by_quant = f"; {model}:QUANT selects another" if ":" not in model else ""
    try:
        plan = choose.plan(model, pool, machine, LaunchOptions(), calibration=known, reserve=reserved(app))
    except DoesNotFitError:
        return min(
            pool, key=lambda one: one.weights.size_bytes
        ), f", the smallest, because no plan fits{by_quant}"
    own = next(one for one in pool if one.weights == plan.weights)
    return own, f", which a plan would choose{by_quant}"


def parsed(app: App, engine: str, args: Sequence[str], *, is_said: bool) -> LlamaFlags | VllmFlags:
    """Raises: UsageError; its hint names the other engine where the words are that one's."""
    try:
        return app.adapters.launchers[engine].parse(args)
    except UsageError as error:
        other = VLLM if engine == LLAMA_CPP else LLAMA_CPP
        with suppress(UsageError):
            app.adapters.launchers[other].parse(args)
            if not is_said:
                error.hint = f"these are options of {other}: add --engine {other}"
        raise


def with_gpus(machine: Hardware, count: int) -> Hardware:
    """No engine is known of such a machine: its build is one of today.
    Raises: UsageError for a count that no machine has."""
    if not 0 <= count <= MOST_GPUS:
        raise UsageError(f"{count} GPUs were given; between 0 and {MOST_GPUS} are supported")
    gpu = Gpu(id="", vendor="", name="a GPU of unknown size", memory_kind=MemoryKind.DEDICATED)
    assumed = tuple(replace(gpu, id=f"assumed:{index}") for index in range(count))
    return replace(machine, gpus=assumed, engines=())
