"""``vllm`` commands on this machine, best first: settings, PATH, environments made for it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from domain.hardware import EngineFound
from domain.plan import VLLM
from launchers.base import SearchPaths
from launchers.discovery import query_all
from launchers.vllm.capabilities import ask


def find(places: SearchPaths) -> tuple[EngineFound, ...]:
    """Asking is quick: versions are read from the environment's own metadata."""
    return query_all(VLLM, _paths(places), ask, cache_dir=places.cache_dir)


def _paths(places: SearchPaths) -> Iterator[Path]:
    if places.vllm is not None:
        yield places.vllm
    if on_path := shutil.which("vllm", path=places.search_path):
        yield Path(on_path).absolute()
    for environment in places.environments:
        yield environment / "bin" / "vllm"
