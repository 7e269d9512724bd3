"""``vllm`` commands on this machine, best first: settings, PATH, environments made for it."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from domain.errors import EngineError
from domain.hardware import EngineFound
from domain.plan import VLLM
from launchers.base import Places
from launchers.vllm.abilities import ask

log = logging.getLogger(__name__)


def find(places: Places) -> tuple[EngineFound, ...]:
    """Each command once. Asking is quick: versions are read from the environment's own metadata."""
    found: dict[str, EngineFound] = {}
    for path in _paths(places):
        real = os.path.realpath(path)
        if real in found or not (path.is_file() and os.access(path, os.X_OK)):
            continue
        try:
            caps = ask(str(path), cache_dir=places.cache_dir)
        except EngineError as error:
            log.warning("an engine gives no answer: path=%s error=%s", path, error)
            found[real] = EngineFound(VLLM, str(path), problem=str(error))
        else:
            found[real] = EngineFound(VLLM, str(path), caps.version, caps.backends, caps.problem)
    return tuple(found.values())


def _paths(places: Places) -> Iterator[Path]:
    if places.vllm is not None:
        yield places.vllm
    if on_path := shutil.which("vllm", path=places.search_path):
        yield Path(on_path).absolute()
    for environment in places.environments:
        yield environment / "bin" / "vllm"
