"""All engines by the name that plans use, and the choice of a binary."""

import os
from collections.abc import Sequence

from domain.errors import EngineError
from domain.launches.plan import LLAMA_CPP, VLLM
from domain.machine.hardware import InstalledEngine
from launchers import llama_cpp, vllm
from launchers.base import Capabilities, Launcher, SearchPaths

LAUNCHERS: dict[str, Launcher] = {LLAMA_CPP: llama_cpp, VLLM: vllm}

INSTALL = {
    LLAMA_CPP: "make venv, or set llama_server to a llama-server in the settings",
    VLLM: "make setup-vllm, or set vllm to a vllm command in the settings",
}


def choose(engine: str, search_paths: SearchPaths) -> Capabilities:
    """What the binary can do that ``pick`` takes of all that are installed. Raises: EngineError."""
    launcher = LAUNCHERS[engine]
    picked = pick(engine, launcher.find(search_paths), search_paths)
    return launcher.inspect(picked.path, cache_dir=search_paths.cache_dir)


def pick(engine: str, installed: Sequence[InstalledEngine], search_paths: SearchPaths) -> InstalledEngine:
    """The first of ``installed``, binaries of ``engine``, that works on this machine. One that the settings
    name and that does not work is an error, even where another would. Raises: EngineError."""
    configured = {LLAMA_CPP: search_paths.llama_server, VLLM: search_paths.vllm}[engine]
    if configured is not None and not os.access(configured, os.X_OK):
        raise EngineError(
            f"the settings name {configured}, which can't be started",
            hint=INSTALL[engine],
            cause="missing",
        )
    usable = [binary for binary in installed if binary.problem is None]
    best = next(iter(installed), None)
    if best is not None and (not usable or (configured is not None and best.problem)):
        raise EngineError(
            f"{best.path} can't be used: {best.problem}", hint=INSTALL[engine], cause="unusable"
        )
    if not usable:
        raise EngineError(f"no {engine} is installed", hint=INSTALL[engine], cause="missing")
    return usable[0]
