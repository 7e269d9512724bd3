"""Which build of an engine loads a model: the best one that is installed, or another that takes it."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from catalog import fork_spellings, names
from daemon.app import App
from domain.errors import EngineError, EngineRefusedError, Refused
from domain.launches.plan import VLLM, Plan
from domain.machine.hardware import Hardware
from launchers.base import Capabilities

log = logging.getLogger(__name__)
_UNKNOWN_ARCHITECTURE = re.compile(r"unknown model architecture: '([\w-]{1,64})'")


def engine_of(app: App, plan: Plan) -> Capabilities:
    """The build that ``plan`` was made for; the best one if it is gone. Blocks. Raises: EngineError."""
    if plan.engine_path is not None:
        try:
            return build(app, plan.engine, plan.engine_path)
        except EngineError as error:
            log.warning("the build of a plan is gone: path=%s why=%s", plan.engine_path, error)
    return app.adapters.engine(plan.engine)


def build(app: App, engine: str, path: str) -> Capabilities:
    """Raises: EngineError."""
    return app.adapters.launchers[engine].inspect(path, cache_dir=app.settings.state_dir / "answers")


async def others(app: App, refused: Capabilities) -> AsyncIterator[Capabilities]:
    """Every other usable build of this engine, best first."""
    for installed in await asyncio.to_thread(app.adapters.engines):
        if installed.engine != refused.engine or installed.problem or installed.path == refused.path:
            continue
        try:
            yield await asyncio.to_thread(build, app, installed.engine, installed.path)
        except EngineError as error:
            log.warning("build not tried: path=%s why=%s", installed.path, error)


def machine_with(machine: Hardware, path: str) -> Hardware:
    """``machine`` as a planner sees it where the build at ``path`` is the one that serves."""
    first = [installed for installed in machine.engines if installed.path == path]
    rest = (installed for installed in machine.engines if installed not in first)
    return replace(machine, engines=(*first, *rest))


def describe(caps: Capabilities) -> str:
    return f"{Path(caps.path).name} {caps.version or 'of an unknown version'}"


def chosen_reason(chosen: Capabilities, refused: Capabilities, error: EngineRefusedError) -> str:
    return (
        f"{describe(chosen)} ({chosen.path}) is used: {describe(refused)}, which is found first, refuses the "
        f"model: {error.engine_output}"
    )


def with_hint(
    app: App, error: EngineRefusedError, refused: Capabilities, model: str, quants: tuple[str, ...]
) -> EngineRefusedError:
    """``error`` with what helps. ``quants`` are others of the model that were not tried."""
    if error.refused is Refused.FLAGS:
        error.hint = "node-ctl plan chooses options; one that the engine refuses is a bug of node-daemon"
        return error
    named_by_fork = _UNKNOWN_ARCHITECTURE.search(error.engine_output)
    if named_by_fork and (hint := fork_spellings.hint(named_by_fork[1])):
        error.hint = hint
        return error
    too_old = f"{describe(refused)} ({refused.path}) is too old for it, or the file is damaged or of a fork"
    hints = [
        f"{too_old}: install a newer llama.cpp on the PATH, or set llama_server to it",
        "node-ctl engines lists the builds here",
    ]
    if error.refused is Refused.FILE:
        named = f": {', '.join(quants)}" if quants else ""
        hints.append(f"another quant may load{named}")
    if repos := _vllm_repos(app, model):
        hints.append(f"{VLLM} may serve it from {repos[0]}, with --engine {VLLM}")
    error.hint = "; ".join(hints)
    return error


def _vllm_repos(app: App, model: str) -> tuple[str, ...]:
    name = names.parse(model, app.catalogue)
    entry = names.lookup(name, app.catalogue)
    if isinstance(name.target, names.Repo):
        repo = name.target.repo
        entry = next((known for known in app.catalogue.values() if repo in known.gguf_repos), None)
    return entry.vllm_repos if entry else ()
