"""llama-server binaries on this machine, best first: settings, PATH, environments, our own wheel."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

from domain.launches.plan import LLAMA_CPP
from domain.machine.hardware import InstalledEngine
from launchers.base import SearchPaths
from launchers.discovery import query_all
from launchers.llama_cpp.build import WHEEL, WHEEL_BINARY, unwrap_script
from launchers.llama_cpp.capabilities import inspect

NAMES = ("llama-server", "llama-server-vulkan")


def find(search_paths: SearchPaths) -> tuple[InstalledEngine, ...]:
    return query_all(LLAMA_CPP, _paths(search_paths), inspect, cache_dir=search_paths.cache_dir)


def _paths(search_paths: SearchPaths) -> Iterator[Path]:
    if search_paths.llama_server is not None:
        yield unwrap_script(search_paths.llama_server)
    for name in NAMES:
        if on_path := shutil.which(name, path=search_paths.search_path):
            yield unwrap_script(Path(on_path).absolute())
    for environment in search_paths.environments:
        yield environment / "bin" / "llama-server"
        yield from sorted(environment.glob(f"lib/python3*/site-packages/{WHEEL_BINARY}"))
    if search_paths.embedded and (spec := importlib.util.find_spec(WHEEL)) and spec.origin:
        yield Path(spec.origin).parent / "bin" / "llama-server"
