"""The engines there are, by the name that plans use, and the choice of one binary."""

import os

from domain.errors import EngineError
from domain.plan import LLAMA_CPP, VLLM
from launchers import llama_cpp, vllm
from launchers.base import Capabilities, Launcher, SearchPaths

LAUNCHERS: dict[str, Launcher] = {LLAMA_CPP: llama_cpp, VLLM: vllm}

INSTALL = {
    LLAMA_CPP: "make setup, or set llama_server to a llama-server in the settings",
    VLLM: "make setup-vllm, or set vllm to a vllm command in the settings",
}


def choose(engine: str, places: SearchPaths) -> Capabilities:
    """The best binary of ``engine`` that works here. One that the settings name is never passed over
    in silence. Raises: EngineError."""
    launcher = LAUNCHERS[engine]
    configured = {LLAMA_CPP: places.llama_server, VLLM: places.vllm}[engine]
    found = launcher.find(places)
    if configured is not None and not os.access(configured, os.X_OK):
        raise EngineError(
            f"the settings name {configured}, which can't be started",
            hint=INSTALL[engine],
            cause="missing",
        )
    usable = [binary for binary in found if binary.problem is None]
    if found and (not usable or (configured is not None and found[0].problem)):
        raise EngineError(
            f"{found[0].path} can't be used: {found[0].problem}", hint=INSTALL[engine], cause="unusable"
        )
    if not usable:
        raise EngineError(f"no {engine} is installed", hint=INSTALL[engine], cause="missing")
    return launcher.ask(usable[0].path, cache_dir=places.cache_dir)
