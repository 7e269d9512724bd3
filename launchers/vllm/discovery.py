"""``vllm`` commands on this machine, best first: settings, PATH, environments."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from domain.launches.plan import VLLM
from domain.machine.hardware import InstalledEngine
from launchers.base import SearchPaths
from launchers.discovery import query_all
from launchers.vllm.capabilities import inspect


def find(search_paths: SearchPaths) -> tuple[InstalledEngine, ...]:
    """Quick: versions are read from the metadata of the environments."""
    return query_all(VLLM, _paths(search_paths), inspect, cache_dir=search_paths.cache_dir)


def _paths(search_paths: SearchPaths) -> Iterator[Path]:
    if search_paths.vllm is not None:
        yield search_paths.vllm
    if on_path := shutil.which("vllm", path=search_paths.search_path):
        yield Path(on_path).absolute()
    for environment in search_paths.environments:
        yield environment / "bin" / "vllm"
