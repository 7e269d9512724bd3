"""The builds of engines that are on this machine, and what each can do."""

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from config.settings import Settings
from daemon.app import App, search_paths
from daemon.planning import builds
from domain.errors import EngineError
from domain.launches.engine_build import EngineBuild, EngineProof, Origin
from domain.machine.hardware import InstalledEngine
from launchers.base import Capabilities
from launchers.registry import pick


async def list_builds(app: App) -> tuple[EngineBuild, ...]:
    """Of each engine the best first: the order in which they are tried."""
    used = _used(app)
    installed = await asyncio.to_thread(app.adapters.engines)
    defaults = await asyncio.to_thread(_defaults, app, installed)
    building = (
        asyncio.to_thread(_build, app, one, tuple(used.get(one.path, ())), is_default=one in defaults)
        for one in installed
    )
    found = await asyncio.gather(*building)
    return tuple([replace(one, proof=await app.store.recall(EngineProof, proof_key(one))) for one in found])


def proof_key(build: EngineBuild) -> str:
    """A build that was replaced by another version is not proved."""
    return f"engine-proof:{build.path}:{build.version}"


def _defaults(app: App, installed: tuple[InstalledEngine, ...]) -> list[InstalledEngine]:
    """Of each engine the one that serves what asks for no other. Blocks."""
    found, searched = [], search_paths(app.settings)
    for engine in dict.fromkeys(one.engine for one in installed):
        with suppress(EngineError):
            found.append(pick(engine, [one for one in installed if one.engine == engine], searched))
    return found


def _used(app: App) -> dict[str, list[str]]:
    """The launches that run now, by the path of their engine."""
    found: dict[str, list[str]] = {}
    for launch in app.launches.values():
        if launch.process is not None and launch.process.alive:
            found.setdefault(launch.process.command.argv[0], []).append(launch.name)
    return found


def _build(
    app: App, installed: InstalledEngine, used_by: tuple[str, ...], *, is_default: bool
) -> EngineBuild:
    launcher = app.adapters.launchers[installed.engine]
    caps = _capabilities(app, installed)
    return EngineBuild(
        engine=installed.engine,
        path=installed.path,
        version=installed.version,
        origin=origin(app.settings, installed.path),
        backends=installed.backends,
        devices=() if caps is None else caps.devices,
        instructions=None if caps is None else caps.instructions,
        architectures=launcher.known_architectures(installed.path),
        problem=installed.problem,
        is_default=is_default,
        used_by=used_by,
    )


def _capabilities(app: App, installed: InstalledEngine) -> Capabilities | None:
    if installed.version is None:  # it did not answer just now
        return None
    try:
        return builds.build(app, installed.engine, installed.path)
    except EngineError:
        return None


def origin(settings: Settings, path: str) -> Origin:
    """By the place: how discovery came to it."""
    searched, real = search_paths(settings), os.path.realpath(path)
    if real in (os.path.realpath(own) for own in (searched.llama_server, searched.vllm) if own is not None):
        return Origin.SETTINGS
    if any(Path(path).is_relative_to(environment) for environment in searched.environments):
        return Origin.ENVIRONMENT
    return Origin.INCLUDED if Path(path).is_relative_to(sys.prefix) else Origin.SEARCH_PATH
