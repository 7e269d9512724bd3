"""Which depth of a context was proven for a model, an engine build and this machine: stored, and kept to by
later plans where the engine failed."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from catalog.local import inventory
from daemon.app import App
from daemon.planning.builds import engine_of
from daemon.planning.computations import Choice
from daemon.planning.speed_history import speed_key
from domain.errors import EngineError
from domain.launches.plan import LLAMA_CPP, VLLM, LaunchOptions, Plan
from domain.launches.proof import ContextProof
from domain.machine.hardware import Hardware
from domain.models.local_model import LocalModel
from domain.models.model import Weights
from launchers.base import Capabilities

LEAST_WINDOW_TOKENS = 512


def proof_key(name: str, size_bytes: int | None, machine: Hardware, caps: Capabilities) -> str:
    """Identifies the model as lists name it, and devices, CPUs and engine build as ``speed_key`` does."""
    facts = [name, size_bytes, speed_key(machine, caps)]
    return f"proof:{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def key_of(weights: Weights, machine: Hardware, caps: Capabilities) -> str:
    return proof_key(inventory.name_of(weights), weights.size_bytes, machine, caps)


async def recall(app: App, plan: Plan, machine: Hardware | None = None) -> ContextProof | None:
    """The proof for the model of ``plan``, its engine and this machine, if there is one."""
    machine = machine or app.hardware_cache.hardware
    if machine is None:
        return None
    try:
        caps = await asyncio.to_thread(engine_of, app, plan)
    except EngineError:  # none is installed: nothing was proven
        return None
    return await app.store.recall(ContextProof, key_of(plan.weights, machine, caps))


async def record(app: App, plan: Plan, proof: ContextProof) -> None:
    machine = app.hardware_cache.hardware
    if machine is None:
        return
    caps = await asyncio.to_thread(engine_of, app, plan)
    await app.store.record(key_of(plan.weights, machine, caps), proof)


async def proven_tokens(app: App, models: Sequence[LocalModel]) -> dict[str, int]:
    """By the name of each of ``models`` that has one: the depth proven with the installed engine."""
    machine, found = app.hardware_cache.hardware, dict[str, int]()
    for engine in (LLAMA_CPP, VLLM):
        served = [model for model in models if _engine_for(model) == engine]
        if machine is None or not served:
            continue
        try:
            caps = await asyncio.to_thread(app.adapters.engine, engine)
        except EngineError:  # none is installed: nothing was proven with it
            continue
        for model in served:
            key = proof_key(model.name, model.size_bytes, machine, caps)
            proof = await app.store.recall(ContextProof, key)
            if proof is not None and proof.proven_tokens:
                found[model.name] = proof.proven_tokens
    return found


def _engine_for(model: LocalModel) -> str:
    return LLAMA_CPP if any(file.name.endswith(".gguf") for file in model.files) else VLLM


def smaller_window(planned_tokens: int) -> int | None:
    """The next power of two below it; ``None`` if that is too short to be of use."""
    smaller = 1 << (max(2, planned_tokens) - 1).bit_length() - 1
    return smaller if smaller >= LEAST_WINDOW_TOKENS else None


def window_of(proof: ContextProof | None, context_tokens: int | None) -> int | None:
    """The window to plan instead of ``context_tokens``, ``None`` where that may stay."""
    window = None if proof is None else proof.window_tokens
    return window if window and context_tokens and context_tokens > window else None


async def narrowed(app: App, options: LaunchOptions, before: Plan | None, machine: Hardware) -> LaunchOptions:
    """``options`` for a start that nobody watches: a window in which the engine of ``before`` failed is not
    tried again, though it was asked for."""
    if before is None or options.context_tokens is None:
        return options
    window = window_of(await recall(app, before, machine), options.context_tokens)
    return options if window is None else replace(options, context_tokens=window)


async def smaller_choice(app: App, plan: Plan, choice: Choice) -> tuple[Choice | None, str]:
    """What to choose from instead of ``plan``, and the reason to give. The plan stands (``None``) where its
    context was asked for, and where its engine never failed in it."""
    proof = await recall(app, plan, choice.machine)
    window = window_of(proof, plan.context_tokens)
    if proof is None or window is None:
        return None, ""
    failed = f"the engine failed at a depth of {proof.failed_tokens} tokens here (node-ctl prove)"
    if choice.options.context_tokens is not None:
        return None, f"a context of {plan.context_tokens} was asked for, though {failed}"
    options = replace(choice.options, context_tokens=window)
    same = tuple(model for model in choice.candidates if model.weights == plan.weights)
    smaller = replace(choice, candidates=same or choice.candidates, options=options)
    return smaller, f"the context is {window}, because {failed}"
