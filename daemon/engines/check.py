"""Proves builds of llama.cpp: each loads a small model of this disk, and answers the known question."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence

from daemon.app import App
from daemon.engines.service import list_builds, proof_key
from daemon.launches.launch import Launch
from daemon.launches.start.engine import choose_port, end_trial, start_engine
from daemon.planning import builds
from daemon.planning.plan import available_hardware, choose_plan, resolve_models
from daemon.state.records import LaunchRequest, now
from daemon.weights import service as weights
from domain.errors import EngineError, NodeError, UsageError
from domain.launches.engine_build import EngineBuild, EngineProof
from domain.launches.plan import LLAMA_CPP, LaunchOptions, Plan
from domain.units import MIB, gib
from launchers.base import Capabilities
from launchers.readiness import Ready
from planner.machine.calibration import UNCALIBRATED

NAME = "engine-check"
OPTIONS = LaunchOptions(engine=LLAMA_CPP, context_tokens=512, no_draft=True, no_mmproj=True)
LEAST_BYTES = 16 * MIB  # smaller files are drafts, vocabularies, projectors
SMALL_MODEL = "smollm2-135m"


async def begin(app: App, path: str | None, model: str | None) -> tuple[Sequence[EngineBuild], str]:
    """The builds to check, of all or of one ``path``, and the model, the smallest on this disk if none is
    named. Raises: UsageError; for a model that can't be loaded beside what runs, as ``choose_plan``."""
    found = [build for build in await list_builds(app) if build.engine == LLAMA_CPP]
    if path is not None:
        found = await asyncio.to_thread(_at, path, found)
    if not found:
        what = f"no build of {LLAMA_CPP} is {path}" if path else f"no build of {LLAMA_CPP} is installed"
        raise UsageError(what, hint="node-ctl engines lists those that are found")
    name = model or await _smallest(app)
    await _planned(app, name, path=found[0].path)
    return found, name


def _at(path: str, found: Sequence[EngineBuild]) -> list[EngineBuild]:
    """Blocks."""
    real = os.path.realpath(path)
    return [build for build in found if real == os.path.realpath(build.path)]


async def _smallest(app: App) -> str:
    """Raises: UsageError."""
    stored = [one for one in await weights.stored(app) if one.files[0].name.endswith(".gguf")]
    names = {one.size_bytes: one.name for one in stored if one.size_bytes >= LEAST_BYTES}
    if not names:
        raise UsageError(
            "no model is on this disk that an engine could load",
            hint=f"node-ctl pull {SMALL_MODEL} fetches a small one, or name a file: --model PATH",
        )
    return names[min(names)]


async def check(app: App, found: Sequence[EngineBuild], model: str) -> AsyncIterator[EngineProof]:
    """One after the other, while nothing else is measured; what was found is stored."""
    for build in found:
        try:
            async with app.measuring_lock:
                proof = await _proof(app, build, model)
        except NodeError as error:
            proof = EngineProof(build.path, build.version, now(), model, error=error.in_full, hint=error.hint)
            if not isinstance(error, EngineError):  # it is no fault of the build
                yield proof
                continue
        await app.store.record(proof_key(build), proof)
        yield proof


async def _proof(app: App, build: EngineBuild, model: str) -> EngineProof:
    """Raises: EngineError if the build can't do it; as ``choose_plan``."""
    if build.problem is not None:
        raise EngineError(build.problem)
    caps = await asyncio.to_thread(builds.build, app, build.engine, build.path)
    ready = await _asked(app, await _planned(app, model, path=build.path), caps)
    return EngineProof(
        build.path,
        build.version,
        now(),
        model,
        answer=" ".join(ready.answer.split()),
        load_s=ready.load_s,
        decode_tokens_per_s=ready.decode_tokens_per_s,
    )


async def _planned(app: App, model: str, *, path: str) -> Plan:
    """As a launch would be planned if the build at ``path`` were the only one."""
    machine = await available_hardware(app, None)
    candidates = await resolve_models(app, model, OPTIONS, (machine,))
    found = await choose_plan(
        app, model, candidates, builds.machine_with(machine, path), OPTIONS, UNCALIBRATED
    )
    if found.weights.location is None:
        raise UsageError(
            f"{model} is not on this disk ({gib(found.weights.size_bytes)})", hint=f"node-ctl pull {model}"
        )
    return found


async def _asked(app: App, plan: Plan, caps: Capabilities) -> Ready:
    """What its engine answers; it has ended then."""
    trial = Launch(LaunchRequest(NAME, plan.model, OPTIONS))
    port = await choose_port(app, trial)
    command = app.adapters.launchers[LLAMA_CPP].command(plan, caps=caps, port=port, name=NAME)
    try:
        return await start_engine(app, trial, plan, command, engine_version=caps.version, trial=True)
    finally:
        await asyncio.shield(end_trial(app, trial))
