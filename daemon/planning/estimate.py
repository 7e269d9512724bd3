"""The memory and speed of one exact command line."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from daemon.app import App
from daemon.machine import snapshot
from daemon.planning import builds
from daemon.planning.command_line import choose_quant, estimate_flags
from daemon.planning.computations import PLANNING, Choice
from daemon.planning.loading import ask_builds
from daemon.planning.plan import margins, resolve_models, total_memory_bytes
from daemon.planning.speed_history import load_calibration
from daemon.resources import ledger
from domain.errors import UsageError
from domain.launches.plan import LLAMA_CPP, VLLM, Estimate, LaunchOptions, LlamaFlags, VllmFlags
from domain.machine.hardware import Gpu, Hardware, MemoryKind
from planner.llama_cpp.context_params import EngineTool
from planner.machine.calibration import Calibration

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
    workers, what = app.adapters.workers, f"estimating {model}"
    choice = Choice(model, candidates, machine, LaunchOptions(), calibration, margins(app))
    candidate, why = await workers.run(what, choose_quant, choice, limits=PLANNING)
    flags = parse_args(app, candidate.engine, args, is_explicit=engine is not None)
    if gpus is not None:
        machine = with_gpus(machine, gpus)
    tool = EngineTool.SERVER if gpus is None else EngineTool.FIT_PARAMS

    async def estimated_on(machine: Hardware) -> Estimate:
        arguments = (candidate, flags, machine, depth_tokens, calibration, tool)
        return await workers.run(what, estimate_flags, *arguments, limits=PLANNING)

    result, said = await estimated_on(machine), tuple[str, ...]()
    if on is None and gpus is None and isinstance(flags, LlamaFlags) and not flags.rpc:
        answer = await ask_builds(app, model, candidate, flags, machine)
        if answer.note:
            said = (answer.note,)
        if answer.note and answer.by is not None:
            result = await estimated_on(builds.machine_with(machine, answer.by.path))
    notes = [f"estimate of {candidate.weights.repo} {candidate.weights.quant}{why}"]
    if not candidate.exact:
        notes.append("the shape is from the catalogue: the header of the file could not be read")
    if candidate.as_of:
        notes.append(f"the hub could not be reached: estimated from its listing of {candidate.as_of}")
    return replace(result, notes=(*result.notes, *said, *notes))


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
