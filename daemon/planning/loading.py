"""Whether an engine here loads a model: asked with its header, before anything else of it is fetched."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from daemon.app import App
from daemon.planning import builds
from daemon.planning.verification import DryRun, of_model_alone, run_dry
from domain.errors import EngineRefusedError, NodeError, Refused
from domain.launches.plan import LLAMA_CPP, LlamaFlags
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel, Weights
from launchers.base import Capabilities

NOT_CHECKED = "not checked by the engine: "


@dataclass(frozen=True, slots=True)
class Answer:
    """``by``: the build that loads the model, ``None`` if none could be asked. ``note``: why it is not the
    first one, or why none could be asked; empty if the first one loads it."""

    by: Capabilities | None
    note: str = ""


async def ask_builds(
    app: App, model: str, candidate: ResolvedModel, flags: LlamaFlags, machine: Hardware
) -> Answer:
    """Raises: EngineRefusedError if no build here loads it."""
    try:
        first = await asyncio.to_thread(app.adapters.engine, LLAMA_CPP)
        dry_run = DryRun(candidate.weights, of_model_alone(flags), (candidate,), first, machine)
        await run_dry(app, dry_run)
    except EngineRefusedError as error:
        refusal = error
    except NodeError as error:
        return Answer(None, f"{NOT_CHECKED}{error}")
    else:
        return Answer(first)
    async for other in builds.others(app, first):
        with suppress(NodeError):
            await run_dry(app, replace(dry_run, caps=other))
            return Answer(other, builds.chosen_reason(other, first, refusal))
    raise builds.with_hint(app, refusal, first, model, ())


async def check_loads(app: App, model: str, candidate: ResolvedModel, machine: Hardware) -> Answer:
    """As ``ask_builds``, with the options that any model takes: what is missing on this machine, such as
    memory, is no reason to refuse. Raises: EngineRefusedError if no build here loads the model."""
    try:
        return await ask_builds(app, model, candidate, LlamaFlags(gpu_layers=0, parallel=1), machine)
    except EngineRefusedError as error:
        if error.refused is Refused.FLAGS:
            return Answer(None, f"{NOT_CHECKED}{error}")
        raise


async def said_here(
    app: App, model: str, candidates: Sequence[ResolvedModel], weights: Weights, machine: Hardware
) -> str:
    """What to tell of weights that are planned for another machine: whether an engine of this one loads them.
    Empty for vLLM, which is not asked."""
    chosen = next((one for one in candidates if one.weights == weights and one.engine == LLAMA_CPP), None)
    if chosen is None:
        return ""
    try:
        answer = await check_loads(app, model, chosen, machine)
    except EngineRefusedError as error:
        return f"no engine here loads this model: {error.engine_output or error}; {error.hint}"
    if answer.by is None:
        return f"not known whether an engine loads this model: {answer.note.removeprefix(NOT_CHECKED)}"
    return f"{builds.describe(answer.by)} of this machine loads the model; memory was not checked with it"
